"""Reads notebooks, Jupyter's and Databricks', into one list of cells. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .lines import runs

COMMENTS = {"python": "#", "r": "#", "sql": "--", "scala": "//"}
LANGUAGES = {".py": "python", ".ipynb": "python", ".sql": "sql", ".scala": "scala", ".r": "r"}
_ALIASES = {
    "bash": "sh",
    "markdown": "md",
    "md-sandbox": "md",
    "python3": "python",
    "pyspark": "python",
    "spark": "scala",  # of Synapse and Fabric
}
_WHOLE_CELL = frozenset({"configure", "fs", "html", "md", "python", "r", "run", "scala", "sh", "sql"})
"""Magics that say what all of the cell is."""
_LINE_MAGICS = frozenset(
    (
        *("matplotlib", "load_ext", "reload_ext", "autoreload", "config", "time", "timeit", "env", "conda", "cd"),
        *("pip", "restart_python"),
    )
)
"""Magics of one line, after which a cell goes on with Python, whatever the notebook's language."""
_DATABRICKS = "application/vnd.databricks.v1+notebook"
_DATABRICKS_CELL = "application/vnd.databricks.v1+cell"
_CALL = re.compile(r"(?:dbutils|mssparkutils|notebookutils)\s*\.\s*notebook\s*\.\s*run\s*\(\s*(?:path\s*=\s*)?([\"'])(.+?)\1")
_MAGIC = re.compile(r"(%%?)([A-Za-z][\w-]*)[^\S\n]?(.*)", re.DOTALL)
_ARGUMENT = re.compile(r"\s*\$(\w+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'#]+))")


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
    text = _unix(text.removeprefix("\ufeff"))
    if ending not in LANGUAGES:
        raise UnreadableNotebook(f"{name}: takes a file that ends with {', '.join(LANGUAGES)}")
    notebook = _jupyter(name, text) if ending == ".ipynb" else _databricks_source(name, LANGUAGES[ending], text)
    try:
        includes(notebook)
    except UnreadableNotebook as error:
        raise UnreadableNotebook(f"{name}: {error}") from None
    return notebook


def includes(notebook: NotebookText) -> list[str]:
    """The notebooks that its ``%run`` cells and lines name."""
    cells = [cell.source for cell in notebook.cells if cell.language == "run"]
    lines = [line for cell in notebook.cells if cell.language == "python" for line in runs(cell.source)]
    if not notebook.databricks:
        lines = [line for line in lines if not is_script(line)]
    return list(dict.fromkeys(run_target(line)[0] for line in (*cells, *lines)))


def calls(notebook: NotebookText) -> list[str]:
    """The notebooks that it names in ``dbutils.notebook.run`` with a plain string, in any language."""
    texts = [cell.source for cell in notebook.cells if cell.language in ("python", "scala", "r")]
    return list(dict.fromkeys(match[2] for text in texts for match in _CALL.finditer(text)))


def is_script(source: str) -> bool:
    """Whether ``%run`` names a Python script, or has options of IPython's: in Jupyter's notebooks, IPython runs these."""
    return re.match(r"\s*(-|[\"']?\S+\.py\b)", source) is not None


def run_target(source: str) -> tuple[str, dict[str, Any]]:
    """The path and the arguments of ``%run``: ``$name=value`` pairs, or, as Synapse has them, a JSON object.

    :raises UnreadableNotebook: more follows, which would not run.
    """
    lines = [line.strip() for line in source.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    line = lines[0] if lines else ""
    quoted = re.match(r"([\"'])(.+?)\1(.*)", line)
    path, rest = (quoted[2], quoted[3]) if quoted else re.fullmatch(r"(\S*)(.*)", line).groups()  # type: ignore[union-attr]
    if rest.strip().startswith("{"):
        return path, _json_arguments(path, "\n".join([rest, *lines[1:]]))
    more = [re.sub(r"\A\s*(#.*)?\Z", "", _ARGUMENT.sub("", rest)).strip(), *lines[1:]]
    if wrong := next(filter(None, more), ""):
        raise UnreadableNotebook(f'%run {path}: expected a path and $name="value" pairs alone in the cell, got also {wrong!r}')
    return path, {name: double or single or bare for name, double, single, bare in _ARGUMENT.findall(rest)}


def _json_arguments(path: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UnreadableNotebook(f"%run {path}: expected a JSON object of parameters after the path: {error}") from None
    return {str(name): value for name, value in found.items()}


def _databricks_source(name: str, language: str, text: str) -> NotebookText:
    mark = re.escape(COMMENTS[language])
    first, _, body = text.partition("\n")
    if not re.fullmatch(rf"{mark}\s*Databricks notebook source\s*", first):
        expected = f"{COMMENTS[language]} Databricks notebook source"
        raise UnreadableNotebook(f"{name}: takes '{expected}' as its first line, or run it as a program")
    separator = re.compile(rf"^{mark}[^\S\n]*COMMAND -+[^\S\n]*$", re.MULTILINE)
    cells = [_source_cell(language, mark, part.strip("\n")) for part in separator.split(body)]
    return NotebookText(language, tuple(cell for cell in cells if cell.original.strip()), databricks=True)


def _source_cell(language: str, mark: str, text: str) -> Cell:
    """A cell without its marks. Only a line feed ends a line: text may have other characters that Unicode takes for one."""
    title, lines = "", []
    for line in text.split("\n"):
        if found := re.fullmatch(rf"{mark}[^\S\n]*DBTITLE \d,(.*)", line):
            title = found[1].strip()
        elif found := re.fullmatch(rf"{mark}[^\S\n]*MAGIC(?![\w-]) ?(.*)", line):
            lines.append(found[1])
        else:
            lines.append(line)
    return _cell(language, "\n".join(lines).strip("\n"), databricks=True, title=title)


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
    return NotebookText(
        language.lower(), tuple(_jupyter_cells(raw, language.lower(), ours is not None)), ours is not None, spec.get("name")
    )


def _jupyter_cells(raw: list[dict[str, Any]], language: str, databricks: bool) -> Iterator[Cell]:
    for item in raw:
        source = item.get("source", "")
        source = _unix(source if isinstance(source, str) else "".join(source))
        metadata = item.get("metadata", {})
        if not source.strip():
            continue
        tags = tuple(metadata.get("tags", ()))
        if item.get("cell_type") == "markdown":
            yield Cell("md", source, source, tags=tags)
        elif item.get("cell_type") == "code":
            title = str(metadata.get(_DATABRICKS_CELL, {}).get("title") or "")
            yield _cell(language, source, databricks=databricks, title=title, tags=tags)


def _unix(text: str) -> str:
    """The text with a line feed at the end of each line, as Python reads files."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cell(language: str, text: str, *, databricks: bool, title: str = "", tags: tuple[str, ...] = ()) -> Cell:
    """Find the magic that says a cell's language: the first thing in it that is no comment."""
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(("#", "--", "//"))), None)
    found = _MAGIC.fullmatch("\n".join(lines[start:]).strip()) if start is not None else None
    if found is None:
        return Cell(language, text, text, title, tags)
    word = _ALIASES.get(found[2].lower(), found[2].lower())
    if word in _LINE_MAGICS or (language == "python" and _is_for_ipython(word, found, databricks)):
        # IPython takes a magic of the whole cell in its first line only; people write comments above it.
        source = "\n".join(lines[start:]) if found[1] == "%%" else text
        return Cell("python", source, text, title, tags)
    return Cell(word, found[3], text, title, tags)


def _is_for_ipython(word: str, magic: re.Match[str], databricks: bool) -> bool:
    """Whether a magic stands in a cell of Python: ``%%capture``, ``%%bash -s "$x"``, ``%run`` with more lines, and unknown ones."""
    first, _, more = magic[3].partition("\n")
    if word == "run":
        return bool(re.sub(r"^\s*#.*", "", more, flags=re.MULTILINE).strip()) or (not databricks and is_script(first))
    return word not in _WHOLE_CELL or (word == "sh" and magic[1] == "%%" and bool(first.strip()))
