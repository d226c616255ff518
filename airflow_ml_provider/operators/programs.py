"""From what a user wrote as ``program`` to a program that can be shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml_provider.core.errors import SpecError

STAND_IN: dict[str, Any] = {"kind": "python_code", "source": "pass"}
"""A program in the place of one that is not known yet."""


def program_fields(program: Any, args: Sequence[Any]) -> dict[str, Any]:
    """The fields of a program: a string is the path of a Python file; ``args`` follow the program's own."""
    if isinstance(program, str):
        program = _program_at(program)
    if not isinstance(program, Mapping):
        raise SpecError(f"program: got {program!r}: takes the path of a .py file, a PythonFile or a PythonCode")
    if isinstance(args, str):
        raise SpecError(f"args: got {args!r}: takes a list, such as [{args!r}]")
    if program.get("kind") == "notebook":
        if args:
            raise SpecError(f"args: got {list(args)!r}: a notebook takes parameters={{…}}")
        return dict(program)
    return {**program, "args": [*program.get("args", ()), *(str(arg) for arg in args)]}


def located(program: Mapping[str, Any], folder: str | Path) -> dict[str, Any]:
    """The program with its file's path absolute; a relative one starts at ``folder``. :class:`SpecError` when there is no file."""
    if program.get("kind") not in ("python_file", "notebook") or (program["kind"] == "notebook" and not program.get("path")):
        return dict(program)
    path = Path(folder, str(program.get("path", ""))).expanduser().resolve()
    if not path.is_file():
        raise SpecError(f"program: got {str(program.get('path'))!r}: there is no file {path}")
    return {**program, "path": str(path)}


def _program_at(path: str) -> dict[str, Any]:
    kinds = {".py": "python_file", ".ipynb": "notebook"}
    if (ending := Path(path).suffix) not in kinds:
        takes = "takes the path of a .py or .ipynb file, a PythonFile, a PythonCode or a Notebook"
        raise SpecError(f"program: got {path!r}: {takes}")
    return {"kind": kinds[ending], "path": path}
