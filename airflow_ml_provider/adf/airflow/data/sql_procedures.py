"""Calls of stored procedures in the dialect of a hook's database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.data.sql_identifiers import parts_of, quoted
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import SpecError

_EXEC = ("EXEC {name} {arguments}", "@{name}={mark}")
_CALL = "CALL {name}({arguments})"
_PROCEDURES = {
    "mysql": (_CALL, "{mark}"),
    "oracle": ("BEGIN {name}({arguments}); END;", "{name} => {mark}"),
    "postgres": (_CALL, "{name} => {mark}"),
    "snowflake": (_CALL, "{name} => {mark}"),
}
"""How databases call a procedure, by the type of the connection; T-SQL where none is named."""


def procedure_call(hook: Any, name: str, arguments: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A call of a procedure, its arguments by name where the database has that."""
    values = [pick(one, "value") if isinstance(one, Mapping) else one for one in arguments.values()]
    how, by_name = _PROCEDURES.get(getattr(hook, "conn_type", ""), _EXEC)
    mark = getattr(hook, "placeholder", "%s")
    named = ", ".join(by_name.format(name=_argument(one), mark=mark) for one in arguments)
    return how.format(name=_procedure_name(hook, name), arguments=named).strip(), values


def _procedure_name(hook: Any, name: str) -> str:
    """A plain word stays as it is: databases that fold names to one case find the procedure by it."""
    return ".".join(part if part.isidentifier() else quoted(hook, [part]) for part in parts_of(name))


def _argument(name: str) -> str:
    """An argument's name, which no database quotes; :class:`SpecError` for one that is no word."""
    word = name.removeprefix("@")
    if not word.isidentifier():
        raise SpecError(f"storedProcedureParameters: got the name {name!r}: takes letters, digits and _")
    return word
