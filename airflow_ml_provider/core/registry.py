"""The backends by name: ours, and those of other packages. Each is imported when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

from airflow_ml_provider.core.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_ml_provider.core.backend import Backend

GROUP = "airflow_ml_provider.backends"
"""The group of the entry points by which another package adds a backend: its name, and where its :class:`Entry` is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """All that there is to know about a backend before it is used.

    :param path: its class, as ``module:class``.
    :param sign_in: a function, as ``module:function``, that takes a ``ClusterConnection`` and returns the keyword arguments of the
        class. It makes no call, and raises ``connection.wrong(field, problem)`` for a field that is wrong.
    :param label: what people call the service.
    :param staging: what the staging URI of its connections is, in a few words for the form.
    :param install: what brings its client library, for ``pip install``; empty when it needs none.
    :param poll_interval: seconds between looks at one thing on the service.
    """

    path: str
    sign_in: str
    label: str
    staging: str
    install: str = ""
    poll_interval: float = 10.0


_BACKENDS = "airflow_ml_provider.backends"
_SIGN_IN = "airflow_ml_provider.hooks.sign_in"
_AMAZON = "airflow-ml-provider[amazon]"
BACKENDS: dict[str, Entry] = {
    "emr": Entry(
        path=f"{_BACKENDS}.emr.backend:EmrBackend",
        sign_in=f"{_SIGN_IN}.aws:sign_in",
        label="Amazon EMR",
        staging="s3://bucket/folder",
        install=_AMAZON,
    ),
    "emr-serverless": Entry(
        path=f"{_BACKENDS}.emr_serverless.backend:EmrServerlessBackend",
        sign_in=f"{_SIGN_IN}.aws:sign_in",
        label="Amazon EMR Serverless",
        staging="s3://bucket/folder",
        install=_AMAZON,
    ),
    "local": Entry(
        path=f"{_BACKENDS}.local.backend:LocalBackend",
        sign_in=f"{_SIGN_IN}.local:sign_in",
        label="Spark on the worker's machine",
        staging="a folder, by default $AIRFLOW_HOME/spark",
        install="airflow-ml-provider[local]",
        poll_interval=0.25,
    ),
    "memory": Entry(
        path=f"{_BACKENDS}.memory:MemoryBackend",
        sign_in=f"{_SIGN_IN}.memory:sign_in",
        label="a service in the worker's memory, for tests",
        staging="the service's name, by default default",
        poll_interval=0.05,
    ),
}
"""The backends of this package."""


def backend_names() -> list[str]:
    """The names of all backends, sorted. Imports none of them."""
    return sorted({*BACKENDS, *_installed()})


def backend_entry(name: str) -> Entry:
    """What is known about a backend.

    :raises ConfigurationError: no package has it, or the package that has it cannot be loaded.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    found = _installed().get(name, [])
    if not found:
        raise ConfigurationError(f"backend: expected one of {', '.join(backend_names())}, got {name!r}")
    if len(found) > 1:
        packages = " and ".join(sorted(_package(point) for point in found))
        raise ConfigurationError(f"backend {name!r} comes from {packages}: uninstall all but one of them")
    return _loaded(name, found[0])


def backend_class(name: str) -> type[Backend]:
    """The class of a backend.

    :raises ConfigurationError: there is no such backend, or its client library is missing; the message says what to install.
    """
    return cast("type[Backend]", load(name, backend_entry(name).path))


def load(name: str, path: str) -> Any:
    """What stands at ``module:attribute``, which the entry of a backend leads to.

    :raises ConfigurationError: it cannot be imported.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        install = backend_entry(name).install
        fix = f'pip install "{install}"' if install else "install its package again"
        raise ConfigurationError(f"backend {name!r} cannot be loaded ({error}): {fix}") from error


@cache
def _installed() -> dict[str, list[EntryPoint]]:
    """The entry points of other packages, by the backend's name. One of a name that is ours is never used."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _loaded(name: str, point: EntryPoint) -> Entry:
    try:
        entry = point.load()
    except Exception as error:
        raise ConfigurationError(
            f"backend {name!r} of {_package(point)} cannot be loaded ({type(error).__name__}: {error}): install it again"
        ) from error
    if not isinstance(entry, Entry):
        raise ConfigurationError(
            f"backend {name!r} of {_package(point)}: expected its entry point {point.value!r} to be a registry Entry, got {type(entry).__name__}"
        )
    return entry


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
