"""From what a user wrote as ``program`` to a program that can be shipped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.libraries import library_of

STAND_IN: dict[str, Any] = {"kind": "python_code", "source": "pass"}
"""A program in the place of one that is not known yet."""


_BY_SUFFIX: dict[str, tuple[str, str]] = {
    ".py": ("python_file", "path"),
    ".ipynb": ("notebook", "path"),
    ".sql": ("sql", "file"),
    ".scala": ("scala", "file"),
    ".r": ("r_script", "path"),
}
_FILES = ("path", "file", "wheel", "jar")
_NEEDS_MORE = {".jar": "SparkJar(jar=…, main_class=…)", ".whl": "PythonWheel(wheel=…, entry_point=…)"}
_FLOAT = "__float__"
_NO_ARGS = ("sql", "notebook")
_TAKES = "takes the path of a .py, .sql, .ipynb, .scala or .R file, or a program such as PythonFile, SparkJar or Sql"


def storable(value: Any) -> Any:
    """The value with NaN and the infinities in a form that Airflow can store: it sends template fields as strict JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if isinstance(value, Mapping):
        return {key: storable(item) for key, item in value.items()}
    return [storable(item) for item in value] if isinstance(value, (list, tuple)) else value


def _stored(value: Any) -> Any:
    """The value that :func:`storable` has changed."""
    if isinstance(value, Mapping):
        return float(value[_FLOAT]) if value.keys() == {_FLOAT} else {key: _stored(item) for key, item in value.items()}
    return [_stored(item) for item in value] if isinstance(value, (list, tuple)) else value


def program_fields(program: Any, args: Sequence[Any]) -> dict[str, Any]:
    """The fields of a program: a string is the path of a file, whose suffix tells its kind; ``args`` follow the program's own."""
    if isinstance(program, str):
        program = _by_suffix(program)
    if not isinstance(program, Mapping):
        raise SpecError(f"program: got {program!r}: {_TAKES}")
    if isinstance(args, (str, bytes, bytearray)):
        example = args if isinstance(args, str) else args.decode(errors="replace")
        raise SpecError(f"args: got {args!r}: takes a list of texts, such as [{example!r}]")
    program = _stored(program)
    if program.get("kind") in _NO_ARGS:
        if args:
            raise SpecError(f"args: got {list(args)!r}: a program of kind {program['kind']!r} takes parameters={{…}} of its own")
        return dict(program)
    return {**program, "args": [*program.get("args", ()), *map(_argument, args)]}


def _argument(value: Any) -> Any:
    """An argument as text: lists and dictionaries in JSON. The program's own class refuses bytes."""
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return value if isinstance(value, (bytes, bytearray)) else str(value)


def located(program: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The program with its files' paths absolute; a relative one starts at ``folder``. :class:`SpecError` when there is no file."""
    return {**program, **{field: absolute(str(program[field]), folder, "program") for field in _FILES if program.get(field)}}


def absolute(path: str, folder: str | Path, field: str) -> str:
    """A file's absolute path; a relative one starts at ``folder``. :class:`SpecError` when there is no file."""
    found = Path(folder, path).expanduser().resolve()
    if not found.is_file():
        raise SpecError(f"{field}: got {path!r}: there is no file {found}")
    return str(found)


def with_files(libraries: Sequence[Any], folder: str | Path) -> list[Any]:
    """Libraries with the paths of those that are files absolute."""
    found = [library_of(item) if isinstance(item, str) else item for item in libraries]
    return [
        {**item, "path": absolute(str(item["path"]), folder, "libraries")}
        if isinstance(item, Mapping) and "path" in item
        else item
        for item in found
    ]


def _by_suffix(path: str) -> dict[str, Any]:
    suffix = Path(path).suffix.lower()
    if suffix in _NEEDS_MORE:
        raise SpecError(f"program: got {path!r}: takes {_NEEDS_MORE[suffix]}")
    if suffix not in _BY_SUFFIX:
        raise SpecError(f"program: got {path!r}: {_TAKES}")
    kind, field = _BY_SUFFIX[suffix]
    return {"kind": kind, field: path}
