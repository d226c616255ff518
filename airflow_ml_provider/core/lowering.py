"""Programs of every kind as Python files: what a backend does not run itself, a script of :mod:`airflow_ml_provider.runners` runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.notebooks import notebook_code
from airflow_ml_provider.core.programs import Api
from airflow_ml_provider.core.spec import (
    Jar,
    JobSpec,
    Library,
    Notebook,
    PythonCode,
    PythonFile,
    PythonWheel,
    RScript,
    ScalaSource,
    SparkJar,
    Spec,
    Sql,
    Wheel,
)
from airflow_ml_provider.core.texts import read_text

RUNNERS = Path(__file__).parents[1] / "runners"
# The kernel takes 128 KiB in one argument of a command line.
_LONGEST = 96 << 10
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


def _wheel(program: PythonWheel) -> Lowered:
    runner = _runner("run_wheel", program.entry_point, *program.args, api=program.api)
    return Lowered(runner, libraries=(Wheel(program.wheel),))


def _jar(program: SparkJar) -> Lowered:
    runner = _runner("run_jvm", "jar", program.main_class, *program.args, api="classic")
    return Lowered(runner, libraries=(Jar(program.jar),))


def _sql(program: Sql) -> Lowered:
    what, files = _text_or_file("Sql.text", program.text, program.file)
    asked = {**({"file": what} if files else {"text": what}), "parameters": program.parameters, "limit": program.limit}
    return Lowered(_runner("run_sql", json.dumps(asked)), (*files, str(RUNNERS / "notebook" / "sql_statements.py")))


def _scala(program: ScalaSource) -> Lowered:
    what, files = _text_or_file("ScalaSource.source", program.source, program.file)
    asked = json.dumps({"file" if files else "source": what})
    return Lowered(_runner("run_jvm", "scala", asked, *program.args, api="classic"), files)


def _r(program: RScript) -> Lowered:
    return Lowered(_runner("run_r", Path(program.path).name, *program.args), (program.path,))


def _runner(name: str, *args: str, api: Api = "connect") -> PythonFile:
    return PythonFile(path=str(RUNNERS / f"{name}.py"), args=args, api=api)


def _text_or_file(field: str, text: str | None, file: str | None) -> tuple[str, tuple[str, ...]]:
    """What the runner is told, and the files that it needs: a short text itself, or the name of the file."""
    if file is not None:
        if Path(file).is_file():
            read_text(file, field.replace(".text", ".file").replace(".source", ".file"))  # a wrong encoding is an error now
        return Path(file).name, (file,)
    assert text is not None
    if (size := len(text.encode())) > _LONGEST:
        raise SpecError(f"{field}: got {size} bytes: takes at most {_LONGEST}: put it in a file")
    return text, ()


LOWERINGS: Mapping[type[Spec], Callable[[Any], Lowered]] = {
    Notebook: lambda program: Lowered(notebook_code(program)),
    PythonWheel: _wheel,
    RScript: _r,
    ScalaSource: _scala,
    SparkJar: _jar,
    Sql: _sql,
}
"""How each kind becomes a Python file."""
