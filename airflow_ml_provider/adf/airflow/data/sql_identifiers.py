"""Names of tables and columns in SQL, quoted as the database of a hook takes them: no name of an export becomes SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from airflow_ml_provider.core.errors import SpecError

_PART = re.compile(r'\[((?:[^\]]|\]\])*)\]|"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|([^.\[\]"`]+)')
_DOUBLED = ("]]", '""', "``")


def parts_of(text: str) -> list[str]:
    """The parts of a name that is written as in SQL: ``dbo.Orders`` or ``[dbo].[Order Details]``.

    :raises SpecError: it is no name.
    """
    found, at = [], 0
    while part := _PART.match(text, at):
        quoted = next(((raw, mark) for raw, mark in zip(part.groups(), _DOUBLED, strict=False) if raw is not None), None)
        found.append(quoted[0].replace(quoted[1], quoted[1][0]) if quoted else part[0].strip())
        at = part.end()
        if at == len(text):
            return found
        if text[at] != ".":
            break
        at += 1
    raise SpecError(f"table: got {text!r}: takes a name such as dbo.Orders or [dbo].[Order Details]")


def quoted(hook: Any, parts: Iterable[str]) -> str:
    """A name with its parts in the quotes of the hook's database; a quote inside is doubled."""
    form = str(getattr(hook, "escape_word_format", '"{}"'))
    return ".".join(form.format(part.replace(form[-1], form[-1] * 2)) for part in parts)


def field(hook: Any, name: str) -> str:
    """A column's name as Airflow's hooks take it for an insert, which quote it themselves where it has odd characters.

    :raises SpecError: a name that they do not quote rightly.
    """
    form = str(getattr(hook, "escape_word_format", '"{}"'))
    plain = "." in name or form[0] != '"'
    if plain and form[-1] in name:
        raise SpecError(f"column {name!r}: its name cannot be quoted for this database: rename it in the translator")
    return name if plain else quoted(hook, [name])
