"""The operator that copies between mounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.operators.base import final_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

_SCHEME = "mount://"


class CopyBetweenMountsOperator(BaseOperator):
    """Copy a file, or every file below a folder, and return ``{"files", "bytes", "skipped", "by_store"}``, all numbers.

    A store that holds both ends copies by itself; else the bytes go through the worker, and are compared afterwards by checksum.
    A retry goes on after the last file that was whole.

    :param source: ``mount://<name>/<path>``. Templated.
    :param target: the same; a folder when the source is one. Templated.
    :param overwrite: copy files too that are there already, as large as their source and no older.
    :param verify: compare checksums.
    :param threads: files at once.
    """

    template_fields: Sequence[str] = ("source", "target")
    ui_color = "#dfe8f1"

    def __init__(
        self, *, source: str, target: str, overwrite: bool = False, verify: bool = True, threads: int = 8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.target = target
        self.overwrite = overwrite
        self.verify = verify
        self.threads = threads

    def execute(self, context: Context) -> dict[str, int]:
        from airflow_ml_provider.filesystems.copying import Copier
        from airflow_ml_provider.filesystems.mount import MountFileSystem

        with final_errors():
            ends = (_path("source", self.source), _path("target", self.target))
            copier = Copier(MountFileSystem(), self.overwrite, self.verify, self.threads)
            done = {"files": 0, "bytes": 0, "skipped": 0, "by_store": 0}
            for copied in copier.copy(*ends):
                self.log.info("%s: %s", copied.path, "was there" if copied.skipped else f"{copied.size} bytes")
                done["files"] += 1
                done["bytes"] += copied.size
                done["skipped"] += copied.skipped
                done["by_store"] += copied.by_store
        return done


def _path(field: str, uri: str) -> str:
    if not uri.startswith(_SCHEME) or not uri.removeprefix(_SCHEME).strip("/"):
        raise SpecError(f"{field}: got {uri!r}: takes mount://<name>/<path>")
    return uri.removeprefix(_SCHEME)
