"""A cluster's libraries in EMR's words: what its bootstrap action installs, and what Spark fetches. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from airflow_ml_provider.core.libraries import Jar, Library, Maven, PyPI, Requirements, Wheel
from airflow_ml_provider.core.staging import STAGED


def staged(libraries: Iterable[Library]) -> list[str]:
    """The files that go to the staging area with the cluster."""
    return [item.path for item in libraries if isinstance(item, (Wheel, Requirements, Jar))]


def arguments(libraries: Iterable[Library]) -> list[str]:
    """What the bootstrap action is told."""
    found: list[str] = []
    for item in libraries:
        if isinstance(item, PyPI):
            found += ["--index", item.index_url] if item.index_url else []
            found += ["--pip", item.requirement]
        elif isinstance(item, Wheel):
            found += ["--wheel", _place(item.path)]
        elif isinstance(item, Requirements):
            found += ["--requirements", _place(item.path)]
    return found


def properties(libraries: Iterable[Library]) -> dict[str, str]:
    """Spark's properties for JARs."""
    maven = [item for item in libraries if isinstance(item, Maven)]
    found = {
        "spark.jars": [_place(item.path) for item in libraries if isinstance(item, Jar)],
        "spark.jars.packages": [item.coordinates for item in maven],
        "spark.jars.excludes": [name for item in maven for name in item.exclusions],
        "spark.jars.repositories": [item.repository for item in maven if item.repository],
    }
    return {key: ",".join(dict.fromkeys(values)) for key, values in found.items() if values}


def _place(path: str) -> str:
    return f"{STAGED}/libraries/{PurePath(path).name}"
