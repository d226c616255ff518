"""Copies of files that go on after a file that cannot be copied, where ``skipErrorFile`` says so."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.core.errors import AccessDenied, ServiceError
from airflow_ml_provider.filesystems.copying import Copied, Copier

_FAULTS: tuple[tuple[str, tuple[type[Exception], ...]], ...] = (
    ("fileMissing", (FileNotFoundError,)),
    ("fileForbidden", (AccessDenied, PermissionError)),
    ("dataInconsistency", (ServiceError,)),
)
_THREADS = 8


def copy_files(copier: Copier, targets: Mapping[str, str], skip: Mapping[str, Any]) -> tuple[list[Copied], dict[str, str]]:
    """Copy files, each to a path of its own, and return what was copied, and why the others were skipped.

    :param skip: ``skipErrorFile``; an error that it does not name ends the copy.
    """
    faults = tuple(fault for name, kinds in _FAULTS if pick(skip, name) for fault in kinds)
    if not faults:
        return list(copier.copy_each(targets)), {}
    done: list[Copied] = []
    skipped: dict[str, str] = {}
    with ThreadPoolExecutor(_THREADS) as threads:
        answers = {source: threads.submit(_copied, copier, source, target) for source, target in targets.items()}
        for source, answer in answers.items():
            try:
                done += answer.result()
            except faults as error:
                skipped[source] = str(error)
    return done, skipped


def _copied(copier: Copier, source: str, target: str) -> list[Copied]:
    return list(copier.copy_each({source: target}))
