"""Programs of every kind as Python files: what a backend does not run itself, a script of :mod:`airflow_ml_provider.runners` runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.notebooks import notebook_code
from airflow_ml_provider.core.spec import JobSpec, Library, Notebook, PythonCode, PythonFile, Spec

RUNNERS = Path(__file__).parents[1] / "runners"
_ALWAYS = frozenset({PythonFile, PythonCode})


class Lowered(NamedTuple):
    """A program as a Python file.

    :param files: what it reads in its working directory.
    :param libraries: what it needs installed.
    """

    program: PythonFile | PythonCode
    files: tuple[str, ...] = ()
    libraries: tuple[Library, ...] = ()


def lowered(spec: JobSpec, runs: Collection[type[Spec]]) -> JobSpec:
    """The job itself when its kind of program is among those that a backend ``runs``; else the same job with a Python file in its
    place, and with the files and libraries that this needs.

    :raises SpecError: no runner is known for this kind.
    """
    program = spec.program
    if type(program) in _ALWAYS or type(program) in runs:
        return spec
    if type(program) not in LOWERINGS:
        raise SpecError(f"JobSpec.program: got a {type(program).__name__}: nothing on this cluster runs it yet")
    made = LOWERINGS[type(program)](program)
    more = {"files": (*spec.files, *made.files), "libraries": (*spec.libraries, *made.libraries)}
    return spec.model_copy(update={"program": made.program, **more})


LOWERINGS: Mapping[type[Spec], Callable[[Any], Lowered]] = {
    Notebook: lambda program: Lowered(notebook_code(program)),
}
"""How each kind becomes a Python file."""
