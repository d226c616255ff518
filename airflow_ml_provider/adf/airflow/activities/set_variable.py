"""SetVariable: a variable, or what the pipeline returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.run_view import RETURN_VALUE
from airflow_ml_provider.adf.airflow.secure_values import is_secure
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError


def set_variable(call: Call) -> Any:
    """Set a variable, or what the pipeline returns."""
    name, value = str(call.required("variableName")), pick(call.activity.type_properties, "value")
    if name.casefold() == RETURN_VALUE.casefold():
        returned = {str(pick(one, "key")): _returned(call, pick(one, "value")) for one in value or ()}
        call.view.change(RETURN_VALUE, {"value": returned}, secure=is_secure(call.activity))
        return {"name": name, "value": returned}
    return change_variable(call, name, "value", call.resolve(value))


def change_variable(call: Call, name: str, how: str, value: Any) -> dict[str, Any]:
    declared = call.view.place.pipeline.variables
    known = next((one for one in declared if one.casefold() == name.casefold()), None)
    if known is None:
        raise SpecError(f"activity {call.activity.name!r}: variableName: got {name!r}: takes {', '.join(declared) or 'none'}")
    if how == "append" and declared[known].type.casefold() != "array":
        raise SpecError(f"activity {call.activity.name!r}: variable {known!r} is a {declared[known].type}: takes an Array")
    call.view.change(known, {how: value}, secure=is_secure(call.activity))
    return {"name": known, "value": value}


def _returned(call: Call, raw: Any) -> Any:
    """A value of a pipeline's return value: ``{"type": …, "content": …}``, the contents of arrays and objects likewise."""
    if not isinstance(raw, Mapping) or pick(raw, "type") is None:
        return call.view.resolve(raw)
    content, kind = pick(raw, "content"), str(pick(raw, "type")).casefold()
    if kind == "expression":
        return call.view.resolve({"type": "Expression", "value": content})
    if kind == "array" and isinstance(content, list):
        return [_returned(call, one) for one in content]
    if kind == "object" and isinstance(content, list):
        return {str(pick(one, "key")): _returned(call, pick(one, "value")) for one in content}
    return None if kind == "null" else call.view.resolve(content)
