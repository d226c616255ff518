"""Formats of datasets as options of Spark's readers and writers, and as a dialect for reading rows in a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import Json
from airflow_ml_provider.core.errors import SpecError

Options = dict[str, str]
_CODECS = {"gzip": "gzip", "bzip2": "bzip2", "deflate": "deflate", "snappy": "snappy", "lz4": "lz4", "none": "none", "": ""}
_CODEC_KEYS = {
    "avro": "avroCompressionCodec",
    "delimitedtext": "compressionCodec",
    "orc": "orcCompressionCodec",
    "parquet": "compressionCodec",
}
SPARK_FORMATS = {"delimitedtext": "csv", "json": "json", "parquet": "parquet", "orc": "orc", "avro": "avro", "xml": "xml"}
SUFFIXES = {"delimitedtext": ".csv", "json": ".json", "parquet": ".parquet", "orc": ".orc", "avro": ".avro", "xml": ".xml"}


@dataclass(frozen=True)
class Dialect:
    """Delimited text.

    :param quote: empty for none; the same for ``escape``.
    :param skip: lines before the first one that counts.
    :param quote_all: every value is written in quotes.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = "\\"
    header: bool = False
    null: str = ""
    encoding: str = "utf-8"
    line: str = "\n"
    skip: int = 0
    quote_all: bool = False


def dialect(properties: Mapping[str, Json], settings: Mapping[str, Json]) -> Dialect:
    """The dialect of a dataset of delimited text.

    :param settings: ``formatSettings`` of the activity.
    :raises SpecError: a delimiter that no reader here takes.
    """

    def text(key: str, default: str) -> str:
        found = pick(properties, key)
        return default if found is None else str(found)

    found = Dialect(
        delimiter=text("columnDelimiter", ","),
        quote=text("quoteChar", '"'),
        escape=text("escapeChar", "\\"),
        header=bool(pick(properties, "firstRowAsHeader")),
        null=text("nullValue", ""),
        encoding=text("encodingName", "utf-8") or "utf-8",
        line=text("rowDelimiter", "\n") or "\n",
        skip=int(pick(settings, "skipLineCount") or 0),
        quote_all=bool(pick(settings, "quoteAllText")),
    )
    for name, value in (("quoteChar", found.quote), ("escapeChar", found.escape)):
        if len(value) > 1:
            raise SpecError(f"{name}: got {value!r}: takes one character")
    return found


def read_options(kind: str, properties: Mapping[str, Json], settings: Mapping[str, Json]) -> Options:
    """Of Spark's reader for a format; :class:`SpecError` for what it does not honour."""
    if kind == "delimitedtext":
        found = dialect(properties, settings)
        if found.skip:
            raise SpecError(f"formatSettings.skipLineCount: got {found.skip}: Spark skips no lines: copy to a table instead")
        return _csv(found)
    if kind == "xml":
        row = pick(settings, "rowTag")
        if not row:
            raise SpecError("formatSettings.rowTag: missing, and Spark must know which element of an Xml file is a row: add it")
        return {"rowTag": str(row)}
    encoding = pick(properties, "encodingName")
    return {"encoding": str(encoding)} if kind == "json" and encoding else {}


def write_options(kind: str, properties: Mapping[str, Json], settings: Mapping[str, Json]) -> Options:
    """Of Spark's writer for a format; :class:`SpecError` for what it does not honour."""
    found: Options = {}
    if kind == "delimitedtext":
        asked = dialect(properties, settings)
        found = _csv(asked) | ({"quoteAll": "true"} if asked.quote_all else {})
    if kind == "json" and str(pick(settings, "filePattern") or "").casefold() == "arrayofobjects":
        raise SpecError(
            "formatSettings.filePattern: got 'arrayOfObjects': Spark writes a line for each object: takes setOfObjects"
        )
    if codec := codec_of(kind, properties):
        found["compression"] = codec
    return found


def codec_of(kind: str, properties: Mapping[str, Json]) -> str:
    """The compression that a dataset asks for; empty where it leaves it."""
    raw = pick(properties, _CODEC_KEYS.get(kind, "compression"))
    name = str((pick(raw, "type") if isinstance(raw, Mapping) else raw) or "").casefold()
    if name not in _CODECS:
        raise SpecError(f"compression: got {name!r}: takes {', '.join(filter(None, _CODECS))}")
    return _CODECS[name]


def suffix(kind: str, settings: Mapping[str, Json]) -> str:
    """What the names of written files end with."""
    return str(pick(settings, "fileExtension") or SUFFIXES.get(kind, ""))


def _csv(found: Dialect) -> Options:
    options: dict[str, Any] = {
        "sep": found.delimiter,
        "quote": found.quote,
        "escape": found.escape or found.quote,
        "header": str(found.header).lower(),
        "nullValue": found.null,
        "encoding": found.encoding,
    }
    return options if found.line in ("\n", "\r\n", "\r") else {**options, "lineSep": found.line}
