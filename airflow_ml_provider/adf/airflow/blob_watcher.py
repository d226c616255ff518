"""The trigger behind the assets of Data Factory's blob events: it tells of every file that is written, or deleted, below a place of a mount."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_ml_provider.adf.airflow.seen_files import FILES, NAMES, SeenFiles, to_keep
from airflow_ml_provider.core.polling import backoff
from airflow_ml_provider.triggers.mount import FolderPoller
from airflow_ml_provider.triggers.poller import shared_poller
from airflow_ml_provider.triggers.threads import in_thread

if TYPE_CHECKING:
    from airflow_ml_provider.filesystems.matching import Row


class PlacePoller(FolderPoller):
    """Lists one folder, and all that are in it, for everybody who watches a place in it."""

    def _look(self, ids: Collection[str]) -> Mapping[str, list[Row]]:
        from airflow_ml_provider.filesystems.matching import listed

        return dict.fromkeys(ids, listed(self._filesystem, self.folder))


class _Look(NamedTuple):
    """What one look says.

    :param told: paths to tell of.
    :param keep: what Airflow keeps for a later triggerer.
    :param files: how many there are.
    """

    told: list[str]
    keep: dict[str, Any]
    files: int


class BlobWatcher(BaseEventTrigger):
    """Tells of the files that are new, have changed or are gone since the last look, in one event:
    ``{"blobs": [{"folderPath": "container/folder", "fileName": …}, …]}``.

    One event, because Airflow gives a run the events up to the first that it has not used yet, and keeps later ones for the next run.

    Files that are there at the first look count as old. Airflow from 3.3 keeps which files were seen, the 5,000 newest one by one and older
    ones by their time, so that a triggerer that starts again tells of what came in between. Before, a new triggerer begins anew. A watcher of
    deletions has Airflow keep the names too, of 10,000 files at most.

    Watchers of one folder share its listing. It and the comparison run in a thread. Between two looks a watcher needs 8 bytes a file, and for
    deletions some 10 more. The pause is at least as long as the listing took.

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
        self._seen = SeenFiles(deletions=deleted)
        self._kept: dict[str, Any] = {}
        self._looks = 0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("name", "place", "ends", "ignore_empty", "created", "deleted", "poll_interval")
        return "airflow_ml_provider.adf.airflow.blob_watcher.BlobWatcher", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from airflow_ml_provider.filesystems.matching import folder_of

        folder, faults, seconds = folder_of(self.place), 0, 0.0
        await self._remember()
        async with shared_poller(("place", folder), lambda: PlacePoller(folder)) as poller:
            while True:
                try:
                    look = await in_thread(self._compare, await poller.look(folder, seconds))
                except Exception as error:  # noqa: BLE001 - every store has errors of its own, and a watcher has nobody to tell
                    faults += 1
                    self.log.warning("%s cannot be listed (%s): %d times in a row", folder, error, faults)
                    seconds = backoff(self.poll_interval, faults)
                    continue
                faults, seconds = 0, max(self.poll_interval, poller.took)
                if look.told:
                    yield TriggerEvent({"blobs": [_body(path) for path in look.told]})  # type: ignore[no-untyped-call]
                if not self._looks:
                    self.log.info("Watching %s, where %d files are", self.place, look.files)
                self._looks += 1
                await self._keep(look.keep)

    def _compare(self, files: Iterable[Row]) -> _Look:
        """What has changed in the place since the last look. Called in a thread: half a million files take a second."""
        ours = [file for file in files if file[0].startswith(self.place) and file[0].endswith(self.ends)]
        changes = self._seen.update(ours)
        gone = [path for path, size in changes.gone.items() if size or not self.ignore_empty]
        new = [path for path, size, _ in changes.new if self.created and (size or not self.ignore_empty)]
        keep = to_keep(ours, deletions=self.deleted) if self._store is not None else {}
        return _Look([*gone, *new], keep, len(ours))

    @property
    def _store(self) -> Any:
        """What Airflow keeps for the asset; None before 3.3."""
        return getattr(self, "asset_state_store", None)

    async def _remember(self) -> None:
        """Take up what an earlier triggerer kept."""
        files, names = await self._stored(FILES), await self._stored(NAMES)
        try:
            self._seen.restore(files, names if self.deleted else None)
        except (KeyError, TypeError, ValueError) as error:
            self.log.warning("%s: begins anew, as what Airflow keeps cannot be read: %s", self.place, error)

    async def _stored(self, key: str) -> Any:
        store = self._store
        try:
            return await store.aget(key) if store is not None else None
        except Exception as error:  # noqa: BLE001 - what comes from now on can be told all the same
            self.log.warning("%s: Airflow does not say where an earlier triggerer was: %s", self.place, error)
            return None

    async def _keep(self, values: Mapping[str, Any]) -> None:
        try:
            for key, value in values.items():
                if self._kept.get(key) != value:
                    await self._store.aset(key, value)
                    self._kept[key] = value
        except Exception as error:  # noqa: BLE001 - the next change is kept, or a new triggerer begins anew
            self.log.warning("%s: Airflow does not keep where the watcher is: %s", self.place, error)


def _body(path: str) -> dict[str, Any]:
    _, _, inside = path.removeprefix("mount://").partition("/")
    folder, _, name = inside.rpartition("/")
    return {"folderPath": folder, "fileName": name}
