"""The sensor that waits for files in a mount."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.sensor import PokeReturnValue

from airflow_ml_provider.core.errors import SpecError, Unavailable
from airflow_ml_provider.operators.base import final_errors
from airflow_ml_provider.sensors.base import DeferrableSensor

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger


class MountFileSensor(DeferrableSensor):
    """Wait until files are there, and return their paths, sorted.

    Deferred sensors that wait in one folder share one listing, however many they are.

    A passing fault of the store is waited out.

    :param path: ``mount://<name>/<path>``; ``*`` and ``?`` stand for parts of a name, ``**`` for folders. All else stands for itself,
        ``[`` too. Templated.
    :param min_files: how many files must match.
    :param min_age: seconds for which each must have been left alone, for writers that append.
    :param deferrable: wait in the triggerer, without a worker.
    :raises AirflowSensorTimeout: ``timeout`` has passed.
    :raises AccessDenied: the connection may not list the folder.
    """

    template_fields: Sequence[str] = ("path",)

    def __init__(
        self, *, path: str, min_files: int = 1, min_age: float = 0.0, poke_interval: float = 30.0, **kwargs: Any
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        if min_files < 1:
            raise SpecError(f"min_files: got {min_files!r}: takes 1 or more")
        self.path = path
        self.min_files = min_files
        self.min_age = min_age

    def poke(self, context: Context) -> PokeReturnValue:
        from airflow_ml_provider.filesystems.matching import check_pattern, folder_of, matches
        from airflow_ml_provider.filesystems.mount import MountFileSystem
        from airflow_ml_provider.triggers.mount import enough

        with final_errors():
            pattern = check_pattern(self.path)
            try:
                files = matches(MountFileSystem(), folder_of(pattern), [pattern])[pattern]
            except Unavailable as error:
                self.log.warning("The next look may be answered: %s", error)
                return PokeReturnValue(False)
        self.log.info("%d files match %s", len(files), pattern)
        return PokeReturnValue(enough(files, self.min_files, self.min_age), xcom_value=[file.path for file in files])

    def _trigger(self, deadline: float | None) -> BaseTrigger:
        from airflow_ml_provider.triggers.mount import MountFileTrigger

        return MountFileTrigger(self.path, self.min_files, self.min_age, self.poke_interval, deadline)
