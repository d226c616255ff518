"""The trigger behind the assets of Data Factory's blob events: it tells of every file that is written, or deleted, below a place of a mount."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_ml_provider.core.polling import backoff
from airflow_ml_provider.triggers.mount import FolderPoller
from airflow_ml_provider.triggers.poller import shared_poller

if TYPE_CHECKING:
    from airflow_ml_provider.filesystems.matching import File

_UNTIL, _NAMES = "until", "names"
_KEPT_AT_MOST = 10_000


class BlobWatcher(BaseEventTrigger):
    """Tells of the files that are new, have changed or are gone since the last look, in one event:
    ``{"blobs": [{"folderPath": "container/folder", "fileName": …}, …]}``.

    One event, because Airflow gives a run the events up to the first that it has not used yet, and keeps later ones for the next run.

    Files that are there at the first look count as old. Airflow from 3.3 keeps the time of the newest file, so that a triggerer that
    starts again tells of what came in between, perhaps twice of the last; before, a new triggerer begins anew. A watcher of deletions
    keeps the names too, of 10,000 files at most. Watchers of one folder share its listing.

    :param name: of the ADF trigger.
    :param place: ``mount://<name>/`` and how the path goes on, to the middle of a name.
    :param ends: how paths end.
    :param ignore_empty: files of 0 bytes do not count.
    :param created: it tells of files that are new or have changed.
    :param deleted: it tells of files that are gone.
    :param poll_interval: seconds between looks.
    """

    def __init__(
        self,
        name: str,
        place: str,
        *,
        ends: str = "",
        ignore_empty: bool = False,
        created: bool = True,
        deleted: bool = False,
        poll_interval: float = 30.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name
        self.place = place
        self.ends = ends
        self.ignore_empty = ignore_empty
        self.created = created
        self.deleted = deleted
        self.poll_interval = poll_interval
        self._known: dict[str, File] = {}
        self._kept: dict[str, Any] = {}
        self._looks = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("name", "place", "ends", "ignore_empty", "created", "deleted", "poll_interval")
        return "airflow_ml_provider.triggers.blobs.BlobWatcher", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from airflow_ml_provider.filesystems.matching import folder_of

        pattern = f"{self.place.rpartition('/')[0]}/**/*"
        folder, faults, until = folder_of(pattern), 0, await self._until()
        await self._remember()
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
                if found := [*self._gone(files), *self._news(files, 0.0 if self._looks else until)]:
                    yield TriggerEvent({"blobs": [_body(path) for path in found]})  # type: ignore[no-untyped-call]
                if not self._looks:
                    self.log.info("Watching %s, where %d files are", self.place, len(files))
                self._known = {file.path: file for file in files}
                self._looks += 1
                await self._keep(files)

    def _ours(self, files: Iterable[File]) -> list[File]:
        """The files of the place."""
        return [file for file in files if file.path.startswith(self.place) and file.path.endswith(self.ends)]

    def _counts(self, file: File) -> bool:
        return bool(file.size) or not self.ignore_empty

    def _news(self, files: Iterable[File], until: float | None) -> list[str]:
        """The files that have changed since the last look, the oldest first.

        :param until: of the first look, the time of the newest file that was told of; None when there was no look before.
        """
        if until is None or not self.created:
            return []
        found = [one for one in files if self._counts(one) and _state(one) != _state(self._known.get(one.path))]
        told = sorted((one for one in found if until <= 0 or (one.modified or 0) > until), key=lambda one: one.modified or 0)
        return [one.path for one in told]

    def _gone(self, files: Iterable[File]) -> list[str]:
        """The files that were there at the last look; whether they were empty is as it was then."""
        if not self.deleted:
            return []
        here = {file.path for file in files}
        return [path for path, file in self._known.items() if path not in here and self._counts(file)]

    async def _until(self) -> float | None:
        """The time of the newest file that an earlier triggerer told of; None when there was none, or Airflow does not say."""
        found = await self._stored(_UNTIL)
        return float(found) if isinstance(found, int | float) else None

    async def _remember(self) -> None:
        """Take up the names that an earlier triggerer kept. Their times are unknown, so that the time of the newest decides what is new."""
        from airflow_ml_provider.filesystems.matching import File

        found = await self._stored(_NAMES) if self.deleted else None
        if isinstance(found, dict):
            self._known = {str(path): File(str(path), int(size), None) for path, size in found.items()}

    async def _stored(self, key: str) -> Any:
        store = getattr(self, "asset_state_store", None)
        try:
            return await store.aget(key) if store is not None else None
        except Exception as error:  # noqa: BLE001 - what comes from now on can be told all the same
            self.log.warning("%s: Airflow does not say where an earlier triggerer was: %s", self.place, error)
            return None

    async def _keep(self, files: Collection[File]) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return
        try:
            for key, value in self._place_in(files).items():
                if self._kept.get(key) != value:
                    await store.aset(key, value)
                    self._kept[key] = value
        except Exception as error:  # noqa: BLE001 - the next change is kept, or a new triggerer begins anew
            self.log.warning("%s: Airflow does not keep where the watcher is: %s", self.place, error)

    def _place_in(self, files: Collection[File]) -> dict[str, Any]:
        """What a later triggerer must know to go on from here."""
        newest = max((file.modified or 0.0 for file in files if self._counts(file)), default=0.0)
        if not self.deleted:
            return {_UNTIL: newest}
        names = {file.path: file.size for file in files} if len(files) <= _KEPT_AT_MOST else {}
        return {_UNTIL: newest, _NAMES: names}


def _state(file: File | None) -> tuple[float | None, int] | None:
    return (file.modified, file.size) if file else None


def _body(path: str) -> dict[str, Any]:
    _, _, inside = path.removeprefix("mount://").partition("/")
    folder, _, name = inside.rpartition("/")
    return {"folderPath": folder, "fileName": name}
