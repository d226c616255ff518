"""What an operator learns from its task's context."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.core.identity import Work, prior_tries

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


def work_of(context: Mapping[str, Any]) -> Work:
    """The piece of work that this attempt serves."""
    ti, run = context["ti"], context["dag_run"]
    return Work(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        run_after=run.run_after.isoformat(),
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        epoch=ti.max_tries,
        prior_tries=prior_tries(try_number=ti.try_number, max_tries=ti.max_tries, retries=ti.task.retries or 0),
    )


def run_key(context: Mapping[str, Any]) -> str:
    """The identity of the DAG run: 24 hexadecimal digits, other ones for a run that was deleted and made again."""
    ti, run = context["ti"], context["dag_run"]
    who = [ti.dag_id, ti.run_id, run.run_after.isoformat()]
    return hashlib.sha256(json.dumps(who).encode()).hexdigest()[:24]


def run_name(context: Mapping[str, Any]) -> str:
    """What people call the DAG run."""
    return f"{context['ti'].dag_id} {context['ti'].run_id}"


def airflow_env(context: Mapping[str, Any]) -> dict[str, str]:
    """Airflow's own ``AIRFLOW_CTX_*`` variables, which a task's program finds in its environment."""
    from airflow.sdk.execution_time.context import context_to_airflow_vars

    found: dict[str, str] = context_to_airflow_vars(context, in_env_var_format=True)
    return found


def cluster_tags(context: Mapping[str, Any]) -> dict[str, str]:
    """Who asked for a cluster: for people, for the janitor, and for a later attempt to find it again."""
    ti = context["ti"]
    return {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, **origin(context)}


def origin(context: Mapping[str, Any]) -> dict[str, str]:
    """The tags that tell a run's clusters from those of every other run, and of other map indexes."""
    index = context["ti"].map_index
    return {"run_key": run_key(context), "map_index": str(-1 if index is None else index)}


def job_tags(context: Mapping[str, Any], cluster: str) -> dict[str, str]:
    """What an MLflow run tells of where it came from; the code's version where it is known."""
    ti = context["ti"]
    tags = {
        "airflow.dag_id": ti.dag_id,
        "airflow.run_id": ti.run_id,
        "airflow.task_id": ti.task_id,
        "airflow.map_index": str(-1 if ti.map_index is None else ti.map_index),
        "airflow.try_number": str(ti.try_number),
        "spark.cluster": cluster,
    }
    return tags | _code_version(ti)


def _code_version(ti: Any) -> dict[str, str]:
    versions = {
        "airflow.dag_version_id": getattr(ti, "dag_version_id", None),
        "airflow.bundle_version": getattr(getattr(ti, "bundle_instance", None), "version", None),
    }
    known = {key: str(value) for key, value in versions.items() if value}
    if re.fullmatch(r"[0-9a-f]{40}", known.get("airflow.bundle_version", "")):
        known["mlflow.source.git.commit"] = known["airflow.bundle_version"]
    return known


def cluster_name(context: Mapping[str, Any]) -> str:
    """A cluster's name when nobody gave one: the DAG's id in the letters that a name takes."""
    return _NOT_IN_NAMES.sub("-", context["ti"].dag_id).strip("-_.")[:63] or "spark"
