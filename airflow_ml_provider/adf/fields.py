"""Read property bags of an export, whose keys differ in case and whose values differ in kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.model import Json, Reference


def pick(mapping: Mapping[str, Json], key: str) -> Json:
    """The value under a key, whatever its case; None when it is missing."""
    if key in mapping:
        return mapping[key]
    wanted = key.casefold()
    return next((value for name, value in mapping.items() if name.casefold() == wanted), None)


def bag(mapping: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """The object under a key; an empty one when it is missing, or is none."""
    return mapping_of(pick(mapping, key))


def read_reference(raw: Json) -> Reference | None:
    """``{"referenceName": …, "type": …, "parameters": …}``, or a name alone."""
    if isinstance(raw, str) and raw:
        return Reference("", raw)
    name = pick(mapping_of(raw), "referenceName") or pick(mapping_of(raw), "name")
    if not isinstance(name, str):
        return None
    return Reference(str(pick(raw, "type") or ""), name, mapping_of(pick(raw, "parameters")))


def mapping_of(raw: Any) -> Mapping[str, Json]:
    """The value when it is an object; otherwise an empty one."""
    return raw if isinstance(raw, Mapping) else {}
