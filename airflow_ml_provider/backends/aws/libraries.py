"""Libraries in the words of Amazon's services. Pure.

JARs are Spark's to fetch, a job's own are added by its runner. On EMR a bootstrap action installs a cluster's Python packages on
every machine. Machines of EMR Serverless reach no index unless their network is made for it, and a step must not change machines that
others share: there packages are archives, made where the job is submitted (:mod:`airflow_ml_provider.backends.aws.packages`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.libraries import Jar, Library, Maven, PyPI, Requirements, Wheel
from airflow_ml_provider.core.staging import staged


def files(libraries: Iterable[Library]) -> list[str]:
    """The files that go to the staging area as they are."""
    return [item.path for item in libraries if isinstance(item, (Wheel, Requirements, Jar))]


def jars(libraries: Iterable[Library]) -> list[str]:
    """The JARs among them."""
    return [item.path for item in libraries if isinstance(item, Jar)]


def packages(libraries: Iterable[Library]) -> list[Plan]:
    """The Python packages among them, as a plan has them."""
    return [item.model_dump(mode="json") for item in libraries if isinstance(item, (PyPI, Wheel, Requirements))]


def arguments(libraries: Iterable[Library]) -> list[Any]:
    """What EMR's bootstrap action is told to install: first what pip's own index has, then each other index with its packages.

    An index takes the place of pip's own for its packages: beside it, anybody could publish a package of the same name there.
    """
    by_index: dict[str | None, list[Any]] = {None: []}
    for item in libraries:
        if isinstance(item, PyPI):
            by_index.setdefault(item.index_url, []).extend(["--pip", item.requirement])
        elif isinstance(item, Wheel):
            by_index[None] += ["--wheel", staged(_name(item.path))]
        elif isinstance(item, Requirements):
            by_index[None] += ["--requirements", staged(_name(item.path))]
    return [part for index, packages in by_index.items() for part in (*(["--index-url", index] if index else []), *packages)]


def properties(libraries: Iterable[Library]) -> Plan:
    """Spark's properties for a cluster's JARs."""
    maven = [item for item in libraries if isinstance(item, Maven)]
    found = {
        "spark.jars.packages": [item.coordinates for item in maven],
        "spark.jars.excludes": [name for item in maven for name in item.exclusions],
        "spark.jars.repositories": [item.repository for item in maven if item.repository],
    }
    own = list(dict.fromkeys(_name(path) for path in jars(libraries)))
    return {
        **({"spark.jars": staged(*own)} if own else {}),
        **{key: ",".join(dict.fromkeys(values)) for key, values in found.items() if values},
    }


def problems_of_job(libraries: Iterable[Library]) -> Iterator[str]:
    """What no job can bring along."""
    for item in libraries:
        if isinstance(item, Maven):
            yield f"JobSpec.libraries: got {item.coordinates!r}: Spark resolves coordinates for all jobs: put it in the cluster's"


def _name(path: str) -> str:
    """In the cluster's folder."""
    return f"libraries/{PurePath(path).name}"
