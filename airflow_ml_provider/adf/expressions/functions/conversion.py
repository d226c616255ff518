"""Conversions: numbers, base64, data URIs, URI components, JSON and XML."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet import json, markup
from airflow_ml_provider.adf.expressions.dotnet.numbers import read_float, read_integer, type_name
from airflow_ml_provider.adf.expressions.functions.paths import select
from airflow_ml_provider.adf.expressions.functions.signature import Table
from airflow_ml_provider.adf.expressions.functions.words import CONTENT_TYPE, binary, binary_of, to_text, unbase64, write

FUNCTIONS = Table()
_XML = "application/xml;charset=utf-8"
_URI = re.compile(r"data:(?P<type>[^,]*?)(?P<base64>;base64)?,(?P<data>.*)", re.DOTALL | re.IGNORECASE)
_CHARSET = re.compile(r"charset=([^;]+)", re.IGNORECASE)


@FUNCTIONS.add("array", "any")
def array(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@FUNCTIONS.add("createArray", "any*")
def create_array(*values: Any) -> list[Any]:
    return list(values)


@FUNCTIONS.add("string", "any")
def string(value: Any) -> str:
    return to_text(value)


@FUNCTIONS.add("int", "any")
def integer(value: Any) -> int:
    if isinstance(value, (bool, int)):
        return int(value)
    text = value if isinstance(value, str) else to_text(value) if isinstance(value, float) else ""
    found = read_integer(text)
    if found is None:
        raise _no("an integer of 64 bits", value)
    return found


@FUNCTIONS.add("float", "any")
def floating(value: Any) -> float:
    found = float(value) if isinstance(value, (bool, int, float)) else read_float(value) if isinstance(value, str) else None
    if found is None:
        raise _no("a number", value)
    return found


@FUNCTIONS.add("bool", "any")
def boolean(value: Any) -> bool:
    if isinstance(value, (bool, int, float)):
        return bool(value)
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word not in ("true", "false"):
        raise _no("true or false", value)
    return word == "true"


def _no(takes: str, value: Any) -> EvaluationError:
    return EvaluationError(f"argument 1: got {to_text(value)[:40]!r} of type {type_name(value)}: takes {takes}")


@FUNCTIONS.add("json", "markup")
def from_json(value: Any) -> Any:
    """The value in a text, or the object of an XML document."""
    try:
        return json.loads(value) if isinstance(value, str) else markup.to_json(markup.parse(_document(value)))
    except (ValueError, OverflowError) as error:
        raise EvaluationError(f"argument 1: {error}") from error


@FUNCTIONS.add("xml", "markup")
def xml(value: Any) -> dict[str, str]:
    """The document in a text, or of an object with one property."""
    if (data := binary_of(value)) is not None:
        return binary(data, _XML)
    try:
        return _held(markup.parse(value) if isinstance(value, str) else markup.from_json(value))
    except ValueError as error:
        raise EvaluationError(f"argument 1: {error}") from error


@FUNCTIONS.add("xpath", "object", "text")
def xpath(value: Any, path: str) -> Any:
    """Elements as documents, attributes and texts as strings, or the value that the path computes."""
    try:
        found = select(markup.dumps(markup.parse(_document(value))), path)
        if not isinstance(found, list):
            return found
        return [binary(one.encode(), _XML) if is_element else one for is_element, one in found]
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def _document(value: Any) -> str:
    data = binary_of(value)
    if data is None or "xml" not in str(value[CONTENT_TYPE]):
        raise EvaluationError(f"argument 1: got a value of type {type_name(value)}: takes a document of the function 'xml'")
    return data.decode("utf-8", "replace")


def _held(document: markup.Document) -> dict[str, str]:
    return binary(markup.dumps(document).encode("utf-8", "replace"), _XML)


@FUNCTIONS.add("binary", "any")
def to_binary(value: Any) -> dict[str, str]:
    return binary(_bytes(value))


@FUNCTIONS.add("base64", "holder")
def base64(value: Any) -> str:
    return binary(_bytes(value))["$content"]


@FUNCTIONS.add("base64ToBinary", "text")
def base64_to_binary(text: str) -> dict[str, str]:
    return binary(unbase64(text))


@FUNCTIONS.add("base64ToString", "text")
@FUNCTIONS.add("decodeBase64", "text")
def base64_to_string(text: str) -> str:
    return unbase64(text).decode("utf-8", "replace")


@FUNCTIONS.add("dataUri", "any")
def data_uri(value: Any) -> str:
    """With the type of what it holds: bytes keep theirs, a string is text, anything else JSON."""
    kind = "text/plain;charset=utf-8" if isinstance(value, str) else "application/json;charset=utf-8"
    held = value[CONTENT_TYPE] if binary_of(value) is not None else kind
    return f"data:{held};base64,{binary(_bytes(value))['$content']}"


@FUNCTIONS.add("dataUriToBinary", "text")
def data_uri_to_binary(text: str) -> dict[str, str]:
    kind, data = _data_uri(text)
    return binary(data, kind or "text/plain")


@FUNCTIONS.add("dataUriToString", "text")
@FUNCTIONS.add("decodeDataUri", "text")
def data_uri_to_string(text: str) -> str:
    kind, data = _data_uri(text)
    charset = _CHARSET.search(kind)
    if charset and charset[1].strip().casefold() not in ("utf-8", "us-ascii", "ascii"):
        raise EvaluationError(f"argument 1: got the charset {charset[1]!r}: takes utf-8")
    return data.decode("utf-8", "replace")


def _data_uri(text: str) -> tuple[str, bytes]:
    match = _URI.fullmatch(text)
    if not match:
        raise EvaluationError(f"argument 1: got {text[:40]!r}: takes data:<type>;base64,<data>")
    return match["type"], unbase64(match["data"]) if match["base64"] else unquote_to_bytes(match["data"])


@FUNCTIONS.add("uriComponent", "any")
@FUNCTIONS.add("encodeUriComponent", "any")
def uri_component(value: Any) -> str:
    return quote(to_text(value).encode("utf-8", "replace"), safe="")


@FUNCTIONS.add("uriComponentToBinary", "text")
def uri_component_to_binary(text: str) -> dict[str, str]:
    return binary(_unquoted(text))


@FUNCTIONS.add("uriComponentToString", "text")
@FUNCTIONS.add("decodeUriComponent", "text")
def uri_component_to_string(text: str) -> str:
    return _unquoted(text).decode("utf-8", "replace")


def _unquoted(text: str) -> bytes:
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "replace"))


def _bytes(value: Any) -> bytes:
    if value is None:
        raise EvaluationError("argument 1: got null: takes a value")
    data = binary_of(value)
    if data is not None:
        return data
    return (write(value) if isinstance(value, (dict, list)) else to_text(value)).encode("utf-8", "replace")
