"""The trigger behind the assets of Data Factory's blob events: it tells of every file that is written below a place of a mount."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_ml_provider.core.polling import backoff
from airflow_ml_provider.triggers.mount import FolderPoller
from airflow_ml_provider.triggers.poller import shared_poller

if TYPE_CHECKING:
    from airflow_ml_provider.filesystems.matching import File

_UNTIL = "until"


class BlobWatcher(BaseEventTrigger):
    """Tells of the files that are new or have changed since the last look, in one event:
    ``{"blobs": [{"folderPath": "container/folder", "fileName": …}, …]}``.

    One event, because Airflow gives a run the events up to the first that it has not used yet, and keeps later ones for the next run.

    Files that are there at the first look count as old. Airflow from 3.3 keeps the time of the newest file, so that a triggerer that
    starts again tells of what came in between, perhaps twice of the last; before, a new triggerer begins anew. Watchers of one
    folder share its listing.

    :param name: of the ADF trigger.
    :param place: ``mount://<name>/`` and how the path goes on, to the middle of a name.
    :param ends: how paths end.
    :param ignore_empty: files of 0 bytes do not count.
    :param poll_interval: seconds between looks.
    """

    def __init__(self, name: str, place: str, *, ends: str = "", ignore_empty: bool = False, poll_interval: float = 30.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name
        self.place = place
        self.ends = ends
        self.ignore_empty = ignore_empty
        self.poll_interval = poll_interval
        self._known: dict[str, tuple[float | None, int]] = {}
        self._kept: float | None = None
        self._looks = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("name", "place", "ends", "ignore_empty", "poll_interval")
        return "airflow_ml_provider.triggers.blobs.BlobWatcher", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from airflow_ml_provider.filesystems.matching import folder_of

        pattern = f"{self.place.rpartition('/')[0]}/**/*"
        folder, faults, until = folder_of(pattern), 0, await self._until()
        async with shared_poller(("folder", folder), lambda: FolderPoller(folder)) as poller:
            seconds = 0.0
            while True:
                try:
                    files = self._ours(await poller.look(pattern, seconds))
                except Exception as error:  # noqa: BLE001 - every store has errors of its own, and a watcher has nobody to tell
                    faults += 1
                    self.log.warning("%s cannot be listed (%s): %d times in a row", folder, error, faults)
                    seconds = backoff(self.poll_interval, faults)
                    continue
                faults, seconds = 0, self.poll_interval
                if found := self._news(files, 0.0 if self._looks else until):
                    yield TriggerEvent({"blobs": [_body(file) for file in found]})  # type: ignore[no-untyped-call]
                self._looks += 1
                await self._keep(files)

    def _ours(self, files: Iterable[File]) -> list[File]:
        """The files that count."""
        return [
            file
            for file in files
            if file.path.startswith(self.place) and file.path.endswith(self.ends) and not (self.ignore_empty and not file.size)
        ]

    def _news(self, files: Iterable[File], until: float | None) -> list[File]:
        """The files that have changed since the last look, the oldest first.

        :param until: of the first look, the time of the newest file that was told of; None when there was no look before.
        """
        before, self._known = self._known, {file.path: (file.modified, file.size) for file in files}
        if until is None:
            return []
        found = [one for one in files if before.get(one.path) != (one.modified, one.size)]
        return sorted((one for one in found if until <= 0 or (one.modified or 0) > until), key=lambda one: one.modified or 0)

    async def _until(self) -> float | None:
        """The time of the newest file that an earlier triggerer told of; None when there was none, or Airflow does not say."""
        store = getattr(self, "asset_state_store", None)
        try:
            found = await store.aget(_UNTIL) if store is not None else None
        except Exception as error:  # noqa: BLE001 - what comes from now on can be told all the same
            self.log.warning("%s: Airflow does not say where an earlier triggerer was: %s", self.place, error)
            return None
        return float(found) if isinstance(found, int | float) else None

    async def _keep(self, files: Iterable[File]) -> None:
        store = getattr(self, "asset_state_store", None)
        newest = max((file.modified or 0.0 for file in files), default=0.0)
        if store is None or newest == self._kept:
            return
        self._kept = newest
        try:
            await store.aset(_UNTIL, newest)
        except Exception as error:  # noqa: BLE001 - the next change is kept, or a new triggerer begins anew
            self.log.warning("%s: Airflow does not keep where the watcher is: %s", self.place, error)


def _body(file: File) -> dict[str, Any]:
    _, _, path = file.path.removeprefix("mount://").partition("/")
    folder, _, name = path.rpartition("/")
    return {"folderPath": folder, "fileName": name}
