"""A notebook as one Python program: the runner, the notebook and those that it runs, in one text that ships anywhere."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.programs import Notebook, PythonCode, Shipped
from airflow_ml_provider.core.texts import read_text
from airflow_ml_provider.runners.notebook.arguments import ASSIGNMENTS
from airflow_ml_provider.runners.notebook.cells import LANGUAGES, NotebookText, UnreadableNotebook, calls, includes, read
from airflow_ml_provider.runners.notebook.interpreters import NAMES
from airflow_ml_provider.runners.notebook.kernel import needs_kernel

_RUNNER = Path(__file__).parents[1] / "runners" / "notebook"
_PACKAGE = "airflow_ml_notebook"
_PROGRAM = '''\
"""Runs a notebook. The modules of the runner and the notebook's own text are in here: nothing else has to be shipped."""

import importlib.abc
import importlib.util
import json
import sys

MODULES = json.loads({modules!r})
REQUEST = json.loads({request!r})


class Shipped(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the runner's modules in MODULES."""

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in MODULES else None

    def get_source(self, name):
        return MODULES[name]

    def get_code(self, name):
        return compile(MODULES[name], f"{{name}}.py", "exec")

    def is_package(self, name):
        return name == "{package}"


sys.meta_path.insert(0, Shipped())
from {package}.main import main

main(REQUEST)
'''


def notebook_code(notebook: Notebook) -> PythonCode:
    """The program that runs it. :class:`SpecError` when it cannot be read, or runs a notebook that is not there."""
    notebook = notebook.model_copy(update={"shipped": shipped(notebook)})  # its files are read once
    kernel = kernel_of(notebook)
    languages = languages_of(notebook) if kernel is None else set()
    if kernel and notebook.parameters and (language := _read(*shipped_text(notebook)).language) not in ASSIGNMENTS:
        takes = " and ".join(ASSIGNMENTS)
        raise SpecError(
            f"Notebook.parameters: a Jupyter notebook in {language} cannot take parameters: only {takes} notebooks can"
        )
    request = {
        **shipped(notebook).model_dump(),
        "names": {name: (_RUNNER / file).read_text(encoding="utf-8") for name, file in NAMES.items() if name in languages},
        "parameters": notebook.parameters,
        "kernel": notebook.kernel,
        "folder": str(Path(notebook.path).parent) if notebook.path else None,
    }
    source = _PROGRAM.format(modules=_compact(_modules()), request=_compact(request), package=_PACKAGE)
    return PythonCode(source=source, api="classic" if "scala" in languages else notebook.api)


def kernel_of(notebook: Notebook) -> str | None:
    """The Jupyter kernel that runs it; None for Python beside Spark."""
    text = _read(*shipped_text(notebook))
    return needs_kernel(notebook.kernel, text.kernel, text.language, text.databricks)


def languages_of(notebook: Notebook) -> set[str]:
    """The languages of its cells, and of the cells of those that it runs."""
    files = shipped(notebook).files.values()
    return {cell.language for file in files for cell in _read(file["name"], file["text"]).cells}


def revision_of(notebook: Notebook) -> str:
    """What its text and that of the notebooks that it runs come to: 40 hexadecimal digits, the same wherever they lie."""
    return hashlib.sha256(_compact(shipped(notebook).files).encode()).hexdigest()[:40]


def shipped_text(notebook: Notebook) -> tuple[str, str]:
    """The notebook's own file name and text."""
    found = shipped(notebook)
    file = found.files[found.notebook]
    return file["name"], file["text"]


def shipped(notebook: Notebook) -> Shipped:
    """Its text and that of every notebook that goes along. :class:`SpecError` when one cannot be read, or is not there."""
    if notebook.shipped is not None:
        return notebook.shipped
    if notebook.revision:
        raise SpecError(f"Notebook.revision: got {notebook.revision!r}: only a task of Airflow finds the text of an earlier run")
    if notebook.path is None:
        name = _name_of(notebook.source or "")
        return Shipped(notebook="notebook", files={"notebook": _file("Notebook.source", name, notebook.source or "")})
    path = Path(notebook.path)
    files: dict[str, dict[str, str]] = {}
    for field, found in (("path", path), *(("others", path.parent / other) for other in notebook.others)):
        folders = Folders(path.parent, Path(notebook.root) if notebook.root else None)
        _add(files, folders, _key(posixpath.relpath(found.as_posix(), path.parent.as_posix())), found, f"Notebook.{field}")
    return Shipped(notebook=_key(path.name), files=files)


class Folders(NamedTuple):
    """Where notebooks lie: those by relative paths, and those by paths with a slash before them."""

    own: Path
    root: Path | None

    def place(self, path: str) -> Path:
        if not path.startswith("/"):
            return self.own / path
        inside = path.removeprefix("/Workspace/").strip("/")
        return self.root / inside if self.root else Path(path)


def _add(files: dict[str, dict[str, str]], folders: Folders, key: str, path: Path, field: str) -> None:
    if key in files:
        return
    if not path.is_file():
        raise SpecError(f"{field}: got {str(path)!r}: there is no such file")
    files[key] = _file(field, path.name, read_text(path, field))
    for reference, found in _references(_read(path.name, files[key]["text"], field), folders, key, str(path)):
        _add(files, folders, reference, found, field)


def _references(notebook: NotebookText, folders: Folders, key: str, where: str) -> Iterator[tuple[str, Path]]:
    """The notebooks that it runs by a name that stands in its text. One that ``%run`` asks for has to be there."""
    needed = includes(notebook)
    for reference in [*needed, *calls(notebook)]:
        found = posixpath.normpath(posixpath.join(posixpath.dirname(key), reference))
        path = next((path for path in _candidates(folders.place(found)) if path.is_file()), None)
        if path is not None:
            yield _key(found), path
        elif reference in needed:
            problem = f"it runs {reference!r}, and there is no notebook {str(folders.place(found))!r}"
            raise SpecError(f"Notebook.path: got {where!r}: {problem}: paths start at the notebook's own folder, or at its root")


def _candidates(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + ending) for ending in LANGUAGES)]


def _file(field: str, name: str, text: str) -> dict[str, str]:
    _read(name, text, field)
    return {"name": name, "text": text}


def _read(name: str, text: str, field: str = "Notebook.shipped") -> NotebookText:
    """Read a notebook's text; :class:`SpecError` names the field when it is no notebook."""
    try:
        return read(name, text)
    except UnreadableNotebook as error:
        raise SpecError(f"{field}: {error}") from None


def _name_of(text: str) -> str:
    if text.lstrip().startswith("{"):
        return "notebook.ipynb"
    return {"--": "notebook.sql", "//": "notebook.scala"}.get(text[:2], "notebook.py")


def _key(path: str) -> str:
    stem, ending = posixpath.splitext(path)
    return stem if ending.lower() in LANGUAGES else path


def _modules() -> dict[str, str]:
    """The runner's modules by name."""
    found = {f"{_PACKAGE}.{path.stem}": path.read_text(encoding="utf-8") for path in sorted(_RUNNER.glob("*.py"))}
    found[_PACKAGE] = found.pop(f"{_PACKAGE}.__init__")
    return found


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
