"""String functions. Searches know no case, except ``replace``, ``split`` and ``contains``: so does the evaluator."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.json import LONGEST
from airflow_ml_provider.adf.expressions.functions.signature import Table
from airflow_ml_provider.adf.expressions.functions.words import characters, fold, lower, to_text, units

FUNCTIONS = Table()


@FUNCTIONS.add("concat", "any*")
def concat(*values: Any) -> str:
    return "".join(map(to_text, values))


@FUNCTIONS.add("endsWith", "text", "text")
def ends_with(text: str, end: str) -> bool:
    return fold(text).endswith(fold(end))


@FUNCTIONS.add("startsWith", "text", "text")
def starts_with(text: str, start: str) -> bool:
    return fold(text).startswith(fold(start))


@FUNCTIONS.add("guid", "text?")
def guid(form: str = "D") -> str:
    new = uuid.UUID(bytes=secrets.token_bytes(16), version=4)
    high, middle, low = new.fields[:3]
    rest = ",".join(f"0x{byte:02x}" for byte in new.bytes[8:])
    written = {
        "N": new.hex,
        "D": str(new),
        "B": f"{{{new}}}",
        "P": f"({new})",
        "X": f"{{0x{high:08x},0x{middle:04x},0x{low:04x},{{{rest}}}}}",
    }
    if form not in written:
        raise EvaluationError(f"got the format {form!r}: takes {', '.join(written)}")
    return written[form]


@FUNCTIONS.add("indexOf", "text", "text")
def index_of(text: str, part: str) -> int:
    return fold(units(text)).find(fold(units(part)))


@FUNCTIONS.add("lastIndexOf", "text", "text")
def last_index_of(text: str, part: str) -> int:
    return fold(units(text)).rfind(fold(units(part))) if part else max(len(units(text)) - 1, 0)


@FUNCTIONS.add("replace", "text", "text", "text")
def replace(text: str, old: str, new: str) -> str:
    if not old:
        raise EvaluationError("argument 2: got an empty string: takes what to replace")
    if len(text) + text.count(old) * len(new) > LONGEST:
        raise EvaluationError(f"a text of more than {LONGEST} characters")
    return text.replace(old, new)


@FUNCTIONS.add("split", "text", "text")
def split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else [text]


@FUNCTIONS.add("substring", "text", "integer", "integer?")
def substring(text: str, start: int, length: int | None = None) -> str:
    whole = units(text)
    if not 0 <= start < len(whole):
        raise EvaluationError(f"argument 2: got {start}: takes 0 to {len(whole) - 1}, below the length of the string")
    if length is None:
        return characters(whole[start:])
    if not 0 <= length <= len(whole) - start:
        raise EvaluationError(f"argument 3: got {length}: takes 0 to {len(whole) - start}, what is left of the string")
    return characters(whole[start : start + length])


@FUNCTIONS.add("toLower", "text")
def to_lower(text: str) -> str:
    return lower(text)


@FUNCTIONS.add("toUpper", "text")
def to_upper(text: str) -> str:
    return fold(text)


@FUNCTIONS.add("trim", "text")
def trim(text: str) -> str:
    return text.strip()
