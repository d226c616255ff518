"""Strings as .NET counts and compares them: in UTF-16 units, each folded by itself; and any value as a string."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet import json
from airflow_ml_provider.adf.expressions.dotnet.numbers import write_float

CONTENT_TYPE, CONTENT = "$content-type", "$content"


def units(text: str) -> str:
    """The text with a pair of surrogates for each character that takes two UTF-16 units."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(data[at] | data[at + 1] << 8) for at in range(0, len(data), 2))


def characters(text: str) -> str:
    """The inverse of :func:`units`; half a pair becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def fold(text: str) -> str:
    """In capitals, character by character, so that positions stay."""
    return text.upper() if text.isascii() else "".join(_single(one, one.upper()) for one in text)


def lower(text: str) -> str:
    """In small letters, character by character."""
    return text.lower() if text.isascii() else "".join(_single(one, one.lower()) for one in text)


def _single(one: str, other: str) -> str:
    return other if len(other) == 1 else one


def to_text(value: Any) -> str:
    """What ``string``, ``concat`` and ``@{…}`` make of a value."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return write_float(value)
    if isinstance(value, int):
        return str(value)
    data = binary_of(value)
    return write(value) if data is None else data.decode("utf-8", "replace").removeprefix("\ufeff")


def write(value: Any) -> str:
    """A value as JSON."""
    try:
        return json.dumps(value)
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def binary(data: bytes, content_type: str = "application/octet-stream") -> dict[str, str]:
    """How the language holds bytes."""
    return {CONTENT_TYPE: content_type, CONTENT: base64.b64encode(data).decode()}


def binary_of(value: Any) -> bytes | None:
    """The bytes that a value holds; None when it is no such value."""
    if not isinstance(value, dict) or value.keys() != {CONTENT_TYPE, CONTENT} or not isinstance(value[CONTENT], str):
        return None
    return unbase64(value[CONTENT])


def unbase64(text: str) -> bytes:
    """The bytes in a base64 text, which may hold white space."""
    try:
        return base64.b64decode("".join(text.split()).encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise EvaluationError(f"got {text[:40]!r}: takes base64") from error
