"""Text files that users hand to the provider."""

from __future__ import annotations

import codecs
from pathlib import Path

from airflow_ml_provider.core.errors import SpecError

_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def read_text(path: str | Path, field: str) -> str:
    """Read a file in UTF-8, with or without a byte order mark.

    :param field: the field that names the file, for the error.
    :raises SpecError: it is in another encoding; the message names the file, the place and the likely encoding.
    """
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        likely = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "Latin-1 (ISO 8859-1) or Windows-1252")
        line = data[: error.start].count(b"\n") + 1
        problem = f"byte 0x{data[error.start]:02x} in line {line} is not UTF-8, so its encoding may be {likely}"
        raise SpecError(f"{field}: got {str(path)!r}: {problem}: save the file in UTF-8") from None
