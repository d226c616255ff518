"""Ids of runs as Data Factory has them: GUIDs, the same for every task and every attempt at it."""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("5c1d2a5e-6f0b-5d0e-9f43-3c1f0f3ad0a7")


def guid(*parts: object) -> str:
    """A GUID that is always the same for these parts."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join(map(str, parts))))


def pipeline_run_id(dag_id: str, run_id: str) -> str:
    """``pipeline().RunId`` of a DAG run."""
    return guid("pipeline", dag_id, run_id)
