"""Notebooks that an export itself holds, as Synapse's do, with those that they run and the secrets that they name."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import Resource
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.runners.notebook.cells import UnreadableNotebook, calls, includes, read
from airflow_ml_provider.runners.notebook.synapse import KNOWN

_ENDING = ".ipynb"
_SECRET = re.compile(
    r"credentials\s*\.\s*getSecret(?:WithLS)?\s*\(\s*([\"'])(?P<vault>[^\"'\\/]+)\1\s*,\s*([\"'])(?P<name>[^\"'\\/]+)\3"
)
_CALL = re.compile(r"\b(?:mssparkutils|notebookutils)\.(?P<group>[a-z]\w*)\.(?P<name>\w+)")
_LANGUAGE = re.compile(r"\s*%%(csharp|sparkr)\b", re.IGNORECASE)
Named = Callable[[str, str], Resource | None]


def exported_notebook(name: str, named: Named) -> dict[str, Any]:
    """Fields of a ``Notebook`` for one that the export holds; nothing where it holds none of this name.

    Notebooks that it runs by a name that stands in its text go along: their names are theirs alone in a workspace, whatever folder a
    path names before them. A secret that it asks for by such names is the Airflow variable of its name, as all secrets of a Key Vault are.

    :raises SpecError: it runs one that the export does not hold, or is no notebook.
    """
    text = _text(name, named)
    if not text:
        return {}
    files = {name: {"name": f"{name}{_ENDING}", "text": text}}
    waiting = [name]
    while waiting:
        key = waiting.pop()
        for reference, is_needed in _references(files[key]):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(key), reference))
            if place in files:
                continue
            if found := _text(posixpath.basename(place), named):
                files[place] = {"name": f"{posixpath.basename(place)}{_ENDING}", "text": found}
                waiting.append(place)
            elif is_needed:
                raise SpecError(f"notebook {key!r}: it runs {reference!r}, which the export does not hold: add it to the export")
    secrets = {f"{vault}/{secret}": f"variable:{secret}" for file in files.values() for vault, secret in _secrets(file["text"])}
    return {"source": text, "shipped": {"notebook": name, "files": files}, "secrets": secrets}


def unsupported(name: str, named: Named) -> Iterator[str]:
    """What a notebook of the export uses that is not there: utilities, and languages of cells."""
    for cell in json.loads(_text(name, named) or '{"cells": []}')["cells"]:
        raw = cell.get("source", "") if isinstance(cell, dict) else ""
        source = raw if isinstance(raw, str) else "".join(raw)
        if found := _LANGUAGE.match(source):
            yield f"%%{found[1]}"
        for call in _CALL.finditer(source):
            if call["name"] not in KNOWN.get(call["group"], ()):
                yield call[0]


def _text(name: str, named: Named) -> str:
    """A notebook of the export in Jupyter's format; empty without one."""
    found = named("notebook", name)
    cells = pick(found.properties, "cells") if found else None
    if found is None or not isinstance(cells, list):
        return ""
    inside = {"cells": cells, "metadata": pick(found.properties, "metadata") or {}}
    return json.dumps({**inside, "nbformat": 4, "nbformat_minor": 2})


def _references(file: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """The notebooks that one runs by a name in its text, and whether it cannot do without."""
    try:
        notebook = read(file["name"], file["text"])
    except UnreadableNotebook as error:
        raise SpecError(f"notebook: {error}") from None
    yield from ((path, True) for path in includes(notebook))
    yield from ((path, False) for path in calls(notebook))


def _secrets(text: str) -> Iterator[tuple[str, str]]:
    """Vaults, or their linked services, and names of the secrets that a notebook's cells ask for by texts."""
    for cell in json.loads(text)["cells"]:
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        for found in _SECRET.finditer(source if isinstance(source, str) else "".join(source)):
            yield found["vault"], found["name"]
