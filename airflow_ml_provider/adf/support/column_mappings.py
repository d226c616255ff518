"""How a Copy maps columns: its translator as a list of columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_ml_provider.adf.fields import bag, pick
from airflow_ml_provider.adf.model import Json
from airflow_ml_provider.core.errors import SpecError

_PATH = re.compile(r"\$?\.?(?:\['(?P<quoted>[^'\]]+)'\]|(?P<plain>[A-Za-z_]\w*))")
_TYPES = {
    **dict.fromkeys(("string", "guid", "char"), "string"),
    **dict.fromkeys(("byte", "sbyte", "int16", "int32", "uint16"), "int"),
    **dict.fromkeys(("int64", "uint32", "uint64"), "bigint"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    "single": "float",
    "double": "double",
    "decimal": "decimal(38,18)",
    "datetime": "timestamp",
    "datetimeoffset": "timestamp",
}


@dataclass(frozen=True)
class Column:
    """One column of a Copy.

    :param source: its name there.
    :param sink: its name here.
    :param type: Spark's type for it; empty to leave it as it is.
    """

    source: str
    sink: str
    type: str = ""


def has_mapping(translator: Json) -> bool:
    """Whether a translator, with or without values for its expressions, maps columns."""
    if not isinstance(translator, Mapping):
        return bool(translator)
    keys = ("mappings", "columnMappings", "schemaMapping", "collectionReference")
    return any(pick(translator, key) for key in keys) or str(pick(translator, "type")).casefold() == "expression"


def columns(translator: Json, *, collected: bool = False) -> list[Column]:
    """The columns that a translator names, with its values; empty where it leaves them as they are.

    :param collected: the rows are already those of its ``collectionReference``.
    :raises SpecError: it takes apart nested values, or is none.
    """
    if not translator:
        return []
    if not isinstance(translator, Mapping):
        raise SpecError(f"translator: got {type(translator).__name__}: takes an object")
    if (pick(translator, "collectionReference") and not collected) or pick(translator, "schemaMapping"):
        raise SpecError("translator: nested values are not taken apart here: flatten them with a Spark program")
    mappings = pick(translator, "mappings")
    if isinstance(mappings, list):
        return [_column(one) for one in mappings if isinstance(one, Mapping)]
    return [Column(source, sink) for source, sink in _old(pick(translator, "columnMappings"))]


def _column(raw: Mapping[str, Json]) -> Column:
    source, sink = bag(raw, "source"), bag(raw, "sink")
    kind = str(pick(sink, "type") or "").casefold()
    return Column(_name(source, "source"), _name(sink, "sink"), _TYPES.get(kind, ""))


def _name(side: Mapping[str, Json], where: str) -> str:
    """By name, by path (of the first level) or by position, which counts from 1."""
    if name := pick(side, "name"):
        return str(name)
    ordinal = str(pick(side, "ordinal") or "")
    if ordinal.isdecimal():
        return f"Prop_{int(ordinal) - 1}"
    path = str(pick(side, "path") or "")
    found = _PATH.fullmatch(path)
    if not found:
        raise SpecError(f"translator.mappings: {where}: got {path!r}: takes the name of a column, or a path of the first level")
    return found["quoted"] or found["plain"]


def _old(raw: Json) -> Iterator[tuple[str, str]]:
    """``{"a": "b"}``, or ``"a: b, c: d"``."""
    if isinstance(raw, Mapping):
        yield from ((str(source), str(sink)) for source, sink in raw.items())
    elif isinstance(raw, str):
        for pair in filter(None, map(str.strip, raw.split(","))):
            source, _, sink = pair.partition(":")
            yield source.strip(), sink.strip()
