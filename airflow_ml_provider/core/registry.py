"""The backends by name. Each is imported when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a backend lives.

    :param path: ``module:class``.
    :param extra: the extra of this package that brings its SDK; empty when it needs none.
    """

    path: str
    extra: str = ""


BACKENDS: dict[str, Entry] = {
    "emr": Entry("airflow_ml_provider.backends.emr.backend:EmrBackend", extra="amazon"),
    "emr-serverless": Entry("airflow_ml_provider.backends.emr_serverless.backend:EmrServerlessBackend", extra="amazon"),
    "local": Entry("airflow_ml_provider.backends.local.backend:LocalBackend", extra="local"),
    "memory": Entry("airflow_ml_provider.backends.memory:MemoryBackend"),
}


def backend_class(name: str) -> type[Backend]:
    """The class of a backend; :class:`ConfigurationError` names the known ones, or the missing extra."""
    if name not in BACKENDS:
        raise ConfigurationError(f"backend: got {name!r}: takes one of {', '.join(sorted(BACKENDS))}")
    entry = BACKENDS[name]
    module, _, attribute = entry.path.partition(":")
    try:
        found: type[Backend] = getattr(import_module(module), attribute)
    except ImportError as error:
        fix = f'pip install "airflow-ml-provider[{entry.extra}]"' if entry.extra else "reinstall airflow-ml-provider"
        raise ConfigurationError(f"backend {name!r} cannot be loaded ({error}): {fix}") from error
    return found
