"""The trigger of :class:`~airflow_ml_provider.sensors.mount.MountFileSensor`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_ml_provider.core.errors import AccessDenied, ProviderError, Unavailable
from airflow_ml_provider.core.polling import backoff
from airflow_ml_provider.triggers.poller import Poller, shared_poller

if TYPE_CHECKING:
    from airflow_ml_provider.filesystems.matching import File


@dataclass(eq=False)
class FolderPoller(Poller):
    """Lists one folder for everybody who waits for files in it.

    The whole folder, each time: names of blobs do not follow the time at which they come, so a listing that begins after the last name would
    miss some, and Blob Storage has none.

    :param took: seconds of the last look.
    """

    patience: ClassVar[float] = 3600.0
    folder: str
    took: float = field(default=0.0, init=False)
    _filesystem: Any = field(default=None, init=False)

    def statuses(self, ids: Collection[str]) -> Mapping[str, Any]:
        from airflow_ml_provider.filesystems.mount import MountFileSystem

        if self._filesystem is None:
            self._filesystem = MountFileSystem()
        began = time.monotonic()
        try:
            return self._look(ids)
        except AccessDenied:  # the connection may have new credentials by now
            self._filesystem.reopen()
            return self._look(ids)
        except Unavailable:
            self._filesystem.reopen()
            raise
        finally:
            self.took = time.monotonic() - began

    def _look(self, ids: Collection[str]) -> Mapping[str, Any]:
        """The files that match each of the patterns."""
        from airflow_ml_provider.filesystems.matching import matches

        return matches(self._filesystem, self.folder, ids)


class MountFileTrigger(BaseTrigger):
    """Fires once enough files match. Triggers that wait in one folder share its listing.

    The event is a mapping: ``outcome`` (``found``, ``timeout``, ``error`` when the mount cannot be opened or listed) and ``message``.

    :param path: a pattern.
    :param min_files: how many must match.
    :param min_age: seconds for which each must have been left alone.
    :param poll_interval: seconds between looks.
    :param deadline: seconds since the epoch, None for no limit.
    """

    def __init__(self, path: str, min_files: int, min_age: float, poll_interval: float, deadline: float | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path
        self.min_files = min_files
        self.min_age = min_age
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("path", "min_files", "min_age", "poll_interval", "deadline")
        return "airflow_ml_provider.triggers.mount.MountFileTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            found = await self._wait()
        except ProviderError as error:
            yield _event("error", str(error))
        else:
            yield _event("found") if found else _event("timeout", f"The time limit of the wait for {self.path} has passed")

    async def _wait(self) -> bool:
        """True once enough files match, False once the deadline has passed. A fault of the store is waited out."""
        from airflow_ml_provider.filesystems.matching import folder_of

        folder, faults = folder_of(self.path), 0
        async with shared_poller(("folder", folder), lambda: FolderPoller(folder)) as poller:
            while (left := self._seconds_left()) > 0:
                try:
                    found = await poller.look(self.path, min(backoff(self.poll_interval, faults), left), within=left)
                except Exception as error:
                    if isinstance(error, ProviderError) and not isinstance(error, Unavailable):
                        raise
                    faults += 1
                    self.log.warning("%s cannot be listed (%s): %d times in a row", folder, error, faults)
                    continue
                faults = 0
                if enough(found, self.min_files, self.min_age):
                    return True
        return False

    def _seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - time.time()


def enough(files: list[File], min_files: int, min_age: float) -> bool:
    """Whether there are enough files, all left alone for long enough."""
    still = time.time() - min_age
    return len(files) >= min_files and (not min_age or all((file.modified or 0.0) <= still for file in files))


def _event(outcome: str, message: str = "") -> TriggerEvent:
    return TriggerEvent({"outcome": outcome, "message": message})  # type: ignore[no-untyped-call]
