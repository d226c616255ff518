"""JSON as people and portals leave it behind: byte order marks, UTF-16, comments, trailing commas."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

from airflow_ml_provider.adf.errors import DocumentError

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest file that is read."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMA = re.compile(rf"({_STRING})|,(?=\s*[\]}}])", re.DOTALL)


def read_json(data: bytes) -> Any:
    """The value in a file's bytes.

    :raises DocumentError: it is not JSON, not even nearly.
    """
    if len(data) > LARGEST:
        raise DocumentError(f"{len(data)} bytes: takes {LARGEST} at most")
    text = decode(data)
    try:
        return _loads(text)
    except json.JSONDecodeError as strict:
        return _mended(text, strict)
    except (RecursionError, ValueError) as error:
        raise DocumentError(f"no JSON that can be read: {error or type(error).__name__}") from error


def decode(data: bytes) -> str:
    """The text in a file's bytes: by its byte order mark, by where its zeros are, else UTF-8, else Windows-1252."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:4]:
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise DocumentError(f"no text in {encoding}: {error.reason} at byte {error.start}") from error
        return data.decode("cp1252", errors="replace")


def _mended(text: str, strict: json.JSONDecodeError) -> Any:
    """The value with comments and trailing commas taken out; the error tells the place in the file as it is."""
    bare = _COMMA.sub(_keep_strings, _COMMENT.sub(_keep_strings, text))
    try:
        return _loads(bare)
    except (RecursionError, ValueError):
        raise DocumentError(f"no JSON: {strict.msg}, line {strict.lineno}, column {strict.colno}") from strict


def _loads(text: str) -> Any:
    return json.loads(text, strict=False, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _keep_strings(match: re.Match[str]) -> str:
    return match[1] or ""
