"""Functions of ARM templates: those that Data Factory's language does not have, or has otherwise, and those whose value Azure alone knows."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.composite import composite
from airflow_ml_provider.adf.expressions.functions import FUNCTIONS, Function
from airflow_ml_provider.adf.expressions.functions.signature import Table
from airflow_ml_provider.adf.expressions.functions.words import to_text

_WIDEST = 1024
_OURS = Table()

ELSEWHERE = {
    **dict.fromkeys(
        ("resourcegroup", "subscription", "tenant", "managementgroup", "deployment", "deployer", "environment"),
        "where it is deployed",
    ),
    **dict.fromkeys(("uniquestring", "guid"), "a hash that Azure makes, mostly of the resource group's id"),
    **dict.fromkeys(("newguid", "utcnow", "rand"), "new at each deployment"),
    **dict.fromkeys(("resourceid", "subscriptionresourceid", "tenantresourceid", "extensionresourceid"), "where it is deployed"),
    **dict.fromkeys(
        ("reference", "references", "listkeys", "listaccountsas", "listsecrets", "listvalue"), "of a resource in Azure"
    ),
}
"""What no template holds the value of, and why."""


@_OURS.add("concat", "any*")
def concat(*values: Any) -> Any:
    if values and all(isinstance(one, list) for one in values):
        return [item for one in values for item in one]
    return "".join(map(to_text, values))


@_OURS.add("format", "text", "any*")
def form(text: str, *values: Any) -> str:
    try:
        return composite(text, values, to_text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


@_OURS.add("padLeft", "any", "integer", "text?")
def pad_left(value: Any, width: int, with_: str = " ") -> str:
    if not 0 <= width <= _WIDEST or len(with_) != 1:
        raise EvaluationError(f"got the width {width} and {with_!r}: takes 0 to {_WIDEST} and one character")
    return to_text(value).rjust(width, with_)


@_OURS.add("substring", "text", "integer", "integer?")
def substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start + length
    if not 0 <= start <= end <= len(text):
        raise EvaluationError(f"got {start} and {length} in a text of {len(text)} characters")
    return text[start:end]


@_OURS.add("createObject", "any*")
def create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2 or not all(isinstance(key, str) for key in pairs[::2]):
        raise EvaluationError("takes names and values in turn")
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


@_OURS.add("length", "any")
def length(value: Any) -> int:
    if not isinstance(value, str | list | dict):
        raise EvaluationError("takes a text, an array or an object")
    return len(value)


@_OURS.add("true")
def true() -> bool:
    return True


@_OURS.add("false")
def false() -> bool:
    return False


@_OURS.add("null")
def null() -> None:
    return None


ARM_FUNCTIONS: dict[str, Function] = {
    **{name: function for name, function in FUNCTIONS.items() if name not in ELSEWHERE},
    **{name.casefold(): function for name, function in _OURS.items()},
}
"""By name in small letters."""
