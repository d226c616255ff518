"""A pipeline's parameters as a DAG's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from airflow_ml_provider.adf.airflow.known_secrets import is_secret
from airflow_ml_provider.adf.model import Parameter

_TYPES = {"string": "string", "securestring": "string", "int": "integer", "float": "number", "bool": "boolean"}
_TYPES |= {"boolean": "boolean", "array": "array", "object": "object"}


def params_of(parameters: Mapping[str, Parameter], *, scheduled: bool) -> dict[str, Param]:
    """The parameters; of a scheduled DAG each has a default, as Airflow asks for: its trigger gives those that the pipeline requires."""
    return {name: Param(None) if scheduled and one.required else _param(one) for name, one in parameters.items()}


def _param(parameter: Parameter) -> Param:
    """A form field of the parameter's type, without a default that is secret. Data Factory checks no types when a run starts, so values of every other type pass too."""
    kind = _TYPES.get(parameter.type.casefold())
    shape: dict[str, Any] = {"format": "password"} if is_secret(parameter) else {}
    if kind:
        shape["type"] = [kind, "null", *sorted(set(_TYPES.values()) - {kind})]
    if parameter.required:
        return Param(**shape)
    return Param(None if is_secret(parameter) else parameter.default, **shape)
