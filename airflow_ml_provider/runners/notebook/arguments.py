"""The parameters of a notebook: which there can be, and how their values are written in the languages of its cells. Pure."""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

# Names, texts and comments as Spark's lexer reads them (SqlBaseLexer.g4): /*+ begins a hint, other comments nest.
_TOKEN = re.compile(
    r"""(?P<line>--(?:\\\n|[^\r\n])*)
    |(?P<open>/\*(?!\+))
    |getArgument\(\s*(?P<mark>["'])(?P<argument>.*?)(?P=mark)\s*\)
    |(?P<raw>(?<!\w)[rR](?:'[^']*'|"[^"]*"))
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    |(?P<name>`(?:[^`]|``)*`)
    |(?P<dollars>(?P<tag>\$[A-Za-z]*\$)(?P<inside>.*?)(?P=tag))
    |(?P<slot>(?<!\\)\$(?:\{[^{}]+\}|[A-Za-z_]\w*))""",
    re.DOTALL | re.VERBOSE,
)
_EDGE = re.compile(r"/\*(?!\+)|\*/")
_SLOT = re.compile(r"(?<!\\)\$(?:\{([^{}]+)\}|([A-Za-z_]\w*))")


def wrong_name(name: str) -> str:
    """What is wrong with a parameter's name; empty when nothing is. Names become variables, so anything else could be code."""
    if name.isidentifier() and not keyword.iskeyword(name):
        return ""
    return f"the name {name!r} is not an identifier: use letters, digits and underscores, and no word of Python, such as run_date"


def wrong_value(name: str, value: Any) -> str:
    """What is wrong with a parameter's value; empty when JSON can hold it. NaN and the infinities are numbers here."""
    if isinstance(value, dict):
        if wrong := next((key for key in value if not isinstance(key, str)), None):
            return f"{name}: the key {wrong!r} is not text"
        return next(filter(None, (wrong_value(f"{name}.{key}", item) for key, item in value.items())), "")
    if isinstance(value, (list, tuple)):
        return next(filter(None, (wrong_value(f"{name}.{at}", item) for at, item in enumerate(value))), "")
    if value is None or isinstance(value, (str, bool, int, float)):
        return ""
    takes = "expected text, a number, true or false, None, or a list or dictionary of these"
    return f"{name}: got {value!r} of type {type(value).__name__}: {takes}"


def text_of(value: Any) -> str:
    """A value as the text of a widget: text as it is, everything else as JSON; NaN and Infinity as Python and Java read them."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def in_python(value: Any) -> str:
    """A value as Python writes it."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {in_python(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_python, value))}]"
    return repr(value)


def in_r(value: Any) -> str:
    """A value as R writes it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    if isinstance(value, dict):
        return f"list({', '.join(f'{in_r(key)} = {in_r(item)}' for key, item in value.items())})"
    if isinstance(value, (list, tuple)):
        return f"list({', '.join(map(in_r, value))})"
    return json.dumps(value, ensure_ascii=False)


ASSIGNMENTS: Mapping[str, Callable[[str, Any], str]] = {
    "python": lambda name, value: f"{name} = {in_python(value)}",
    "r": lambda name, value: f"`{name}` <- {in_r(value)}",
}
"""By language how a variable is set: the languages whose notebooks take parameters as variables."""


def has_widgets(statement: str) -> bool:
    """Whether values of widgets may have to be put into a statement."""
    return "$" in statement or "getArgument" in statement


def with_widgets(
    statement: str, values: Mapping[str, str], *, backslash_escapes: bool = True, double_quotes_name: bool = False
) -> str:
    """The statement with ``${name}``, ``$name`` and ``getArgument("name")`` replaced by widgets' values, as Databricks does.

    In quotes a value stays within the quotes, whatever is in it; ``getArgument`` becomes a text literal. Elsewhere ``${name}`` is
    replaced by the value as it is, such as the name of a table. Comments are left alone.

    :param backslash_escapes: False when ``spark.sql.parser.escapedStringLiterals`` is true.
    :param double_quotes_name: True when ``spark.sql.ansi.doubleQuotedIdentifiers`` is.
    :raises ValueError: a value cannot be written between the quotes.
    """

    def written(match: re.Match[str]) -> str:
        text, end = match[0], match[0][-1]
        if match["argument"] is not None:
            return _literal(values[match["argument"]], backslash_escapes) if match["argument"] in values else text
        if match["slot"]:
            return _filled(text, values, str)
        if match["dollars"]:
            return match["tag"] + _filled(match["inside"], values, lambda value: _verbatim(value, "$")) + match["tag"]
        if match["name"] or (double_quotes_name and end == '"' and not match["raw"]):
            return _filled(text, values, lambda value: value.replace(end, end * 2))
        if match["raw"]:
            return _filled(text, values, lambda value: _verbatim(value, end))
        if not backslash_escapes:  # a backslash stands for itself, but hides the quote after it
            return _filled(text, values, lambda value: _verbatim(value, end, "\\"))
        return _filled(text, values, lambda value: _escaped(value, end))

    pieces, at = [], 0
    while match := _TOKEN.search(statement, at):
        end = _comment_end(statement, match.end()) if match["open"] else match.end()
        is_comment = match["open"] or match["line"]
        pieces += [statement[at : match.start()], statement[match.start() : end] if is_comment else written(match)]
        at = end
    return "".join([*pieces, statement[at:]])


def _comment_end(text: str, at: int) -> int:
    """Where a comment ends that has begun before ``at``, with the comments in it."""
    depth = 1
    for edge in _EDGE.finditer(text, at):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return len(text)


def _filled(text: str, values: Mapping[str, str], write: Any) -> str:
    def value_of(slot: re.Match[str]) -> str:
        name = slot[1] or slot[2]
        return str(write(values[name])) if name in values else slot[0]

    return _SLOT.sub(value_of, text)


def _literal(value: str, backslash_escapes: bool) -> str:
    if backslash_escapes or not set(value) & {"'", "\\"}:
        return f"'{_escaped(value, chr(39))}'"
    return f"CAST(X'{value.encode().hex()}' AS STRING)"


def _escaped(value: str, quote: str) -> str:
    return value.replace("\\", "\\\\").replace(quote, f"\\{quote}")


def _verbatim(value: str, *refused: str) -> str:
    if quote := next((one for one in refused if one in value), ""):
        raise ValueError(
            f"the widget's value {value!r} has {quote} in it and cannot be written here: use :name instead of ${{name}}"
        )
    return value
