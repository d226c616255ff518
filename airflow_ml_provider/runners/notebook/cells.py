"""Reads notebooks, Jupyter's and Databricks', into one list of cells. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

COMMENTS = {"python": "#", "r": "#", "sql": "--", "scala": "//"}
LANGUAGES = {".py": "python", ".ipynb": "python", ".sql": "sql", ".scala": "scala", ".r": "r"}
_ALIASES = {"bash": "sh", "md-sandbox": "md", "python3": "python", "html": "html"}
_LINE_MAGICS = frozenset(
    (
        *("matplotlib", "load_ext", "reload_ext", "autoreload", "config", "time", "timeit", "env", "conda", "cd"),
        *("pip", "restart_python"),
    )
)
"""Magics of one line, after which a cell goes on with Python."""
_DATABRICKS = "application/vnd.databricks.v1+notebook"
_DATABRICKS_CELL = "application/vnd.databricks.v1+cell"
_CALL = re.compile(r"dbutils\s*\.\s*notebook\s*\.\s*run\s*\(\s*(?:path\s*=\s*)?([\"'])(.+?)\1")
_MAGIC = re.compile(r"%%?([A-Za-z][\w-]*)[^\S\n]?(.*)", re.DOTALL)


class UnreadableNotebook(ValueError):
    """The file is no notebook of a known format."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, without the magic that names its language.

    :param language: ``python``, ``sql``, ``md``, ``sh``, ``fs``, ``run``, ``pip`` …; the word after ``%`` where nobody knows it.
    :param original: the cell as its author wrote it, without the source format's comment marks.
    """

    language: str
    source: str
    original: str
    title: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotebookText:
    """A notebook as read.

    :param databricks: written by Databricks: parameters go to its widgets alone.
    :param kernel: the Jupyter kernel that it asks for, or None.
    """

    language: str
    cells: tuple[Cell, ...]
    databricks: bool
    kernel: str | None = None


def read(name: str, text: str) -> NotebookText:
    """Read a notebook's text; the name's ending says what it is. :class:`UnreadableNotebook` says what is wrong."""
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    text = text.removeprefix("\ufeff")
    if ending not in LANGUAGES:
        raise UnreadableNotebook(f"{name}: takes a file that ends with {', '.join(LANGUAGES)}")
    if ending == ".ipynb":
        return _jupyter(name, text)
    return _databricks_source(name, LANGUAGES[ending], text)


def includes(notebook: NotebookText) -> list[str]:
    """The notebooks that its ``%run`` cells name."""
    return list(dict.fromkeys(run_target(cell.source)[0] for cell in notebook.cells if cell.language == "run"))


def calls(notebook: NotebookText) -> list[str]:
    """The notebooks that it names in ``dbutils.notebook.run`` with a plain string, in any language."""
    texts = [cell.source for cell in notebook.cells if cell.language in ("python", "scala", "r")]
    return list(dict.fromkeys(match[2] for text in texts for match in _CALL.finditer(text)))


def run_target(source: str) -> tuple[str, dict[str, str]]:
    """The path and the ``$name=value`` arguments of a ``%run`` cell."""
    line = next((line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#")), "").strip()
    quoted = re.match(r"([\"'])(.+?)\1(.*)", line)
    path, rest = (quoted[2], quoted[3]) if quoted else (line.partition(" ")[0], line.partition(" ")[2])
    pairs = re.findall(r"\$(\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|(\S+))", rest)
    return path, {name: double or single or bare for name, double, single, bare in pairs}


def _databricks_source(name: str, language: str, text: str) -> NotebookText:
    mark = COMMENTS[language]
    first, _, body = text.partition("\n")
    if first.strip() != f"{mark} Databricks notebook source":
        raise UnreadableNotebook(f"{name}: takes '{mark} Databricks notebook source' as its first line, or run it as a program")
    separator = re.compile(rf"^{re.escape(mark)} COMMAND -+[^\S\n]*$", re.MULTILINE)
    cells = [_source_cell(language, mark, part.strip("\r\n")) for part in separator.split(body)]
    return NotebookText(language, tuple(cell for cell in cells if cell.original.strip()), databricks=True)


def _source_cell(language: str, mark: str, text: str) -> Cell:
    title, lines = "", []
    for line in text.splitlines():
        if found := re.match(rf"{re.escape(mark)} DBTITLE \d,(.*)", line):
            title = found[1].strip()
        elif found := re.match(rf"{re.escape(mark)} MAGIC ?(.*)", line):
            lines.append(found[1])
        else:
            lines.append(line)
    return _cell(language, "\n".join(lines).strip("\n"), title=title)


def _jupyter(name: str, text: str) -> NotebookText:
    try:
        document = json.loads(text)
        raw = document["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableNotebook(f"{name}: is no notebook of Jupyter's format 4: {error!r}") from None
    metadata = document.get("metadata", {})
    ours = metadata.get(_DATABRICKS)
    spec = metadata.get("kernelspec", {})
    language = str(
        (ours or {}).get("language") or metadata.get("language_info", {}).get("name") or spec.get("language") or "python"
    )
    return NotebookText(language.lower(), tuple(_jupyter_cells(raw, language.lower())), ours is not None, spec.get("name"))


def _jupyter_cells(raw: list[dict[str, Any]], language: str) -> Iterator[Cell]:
    for item in raw:
        source = item.get("source", "")
        source = source if isinstance(source, str) else "".join(source)
        metadata = item.get("metadata", {})
        if not source.strip():
            continue
        tags = tuple(metadata.get("tags", ()))
        if item.get("cell_type") == "markdown":
            yield Cell("md", source, source, tags=tags)
        elif item.get("cell_type") == "code":
            yield _cell(language, source, title=str(metadata.get(_DATABRICKS_CELL, {}).get("title") or ""), tags=tags)


def _cell(language: str, text: str, title: str = "", tags: tuple[str, ...] = ()) -> Cell:
    """Find the magic that says a cell's language: the first thing in it that is no comment."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(("#", "--", "//"))), None)
    found = _MAGIC.fullmatch("\n".join(lines[start:]).strip()) if start is not None else None
    if found is None:
        return Cell(language, text, text, title, tags)
    if found[1] in _LINE_MAGICS:
        return Cell("python", text, text, title, tags)
    word = _ALIASES.get(found[1].lower(), found[1].lower())
    return Cell(word, found[2], text, title, tags)
