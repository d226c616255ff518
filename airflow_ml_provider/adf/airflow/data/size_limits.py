"""How much of what others send is taken: answers and workbooks lie in memory, files that are fetched or unpacked on a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from airflow_ml_provider._compat import conf
from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed
from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.hooks.callbacks import SECTION

_MIB = 1 << 20
_BLOCK = 1 << 20
DEFAULTS = {"adf_max_answer_mib": 64, "adf_max_workbook_mib": 256, "adf_max_file_mib": 100 * 1024, "adf_max_zip_entries": 100_000}
"""By the setting in ``[airflow_ml_provider]``."""


def limit_of(setting: str) -> int:
    """A setting's value: bytes of one in MiB, else its number.

    :raises ConfigurationError: it is no number above 0.
    """
    found = conf.get(SECTION, setting, fallback=str(DEFAULTS[setting]))
    if not str(found).strip().isdecimal() or int(found) < 1:
        raise ConfigurationError(f"[{SECTION}] {setting}: expected a whole number above 0, got {found!r}")
    return int(found) * (_MIB if setting.endswith("_mib") else 1)


class Counted:
    """Counts what passes, and fails once it is more than a setting allows.

    :param what: it is, for the error.
    :param most: bytes, or whatever is counted; by default the setting's value.
    """

    def __init__(self, what: str, setting: str, most: int | None = None) -> None:
        self.what, self.setting = what, setting
        self.most = limit_of(setting) if most is None else most
        self.count = 0

    def add(self, count: int) -> None:
        """So much more.

        :raises ActivityFailed: it is too much.
        """
        self.count += count
        if self.count > self.most:
            unit, most = ("MiB", self.most / _MIB) if self.setting.endswith("_mib") else ("files", self.most)
            raise ActivityFailed(f"{self.what}: more than {most:g} {unit}: [{SECTION}] {self.setting} allows more", "2001")


def read_all(stream: IO[bytes], counted: Counted) -> bytes:
    """All of a stream; :class:`ActivityFailed` once it is too long."""
    return b"".join(blocks(iter(lambda: stream.read(_BLOCK), b""), counted))


def blocks(found: Iterator[bytes], counted: Counted) -> Iterator[bytes]:
    """The blocks, as long as they are not too much."""
    for block in found:
        counted.add(len(block))
        yield block


def answer_of(response: Any, most: int | None = None) -> bytes:
    """The body of an HTTP answer, decompressed; :class:`ActivityFailed` once it is too long."""
    counted = Counted(f"the answer of {response.request.method} {response.url.partition('?')[0]}", "adf_max_answer_mib", most)
    return b"".join(blocks(response.iter_content(_BLOCK), counted))


@contextmanager
def whole_file(filesystem: Any, path: str) -> Iterator[Any]:
    """A file to write, which is removed again when the writing fails."""
    write = filesystem.open(path, "wb")
    try:
        yield write
    except BaseException:
        write.close()
        filesystem.rm_file(path)
        raise
    else:
        write.close()
