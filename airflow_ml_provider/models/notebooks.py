"""The history of a notebook: every run of it that MLflow knows, and what it looked like."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_ml_provider.core.errors import ConfigurationError

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATH_TAG = "airflow_ml.notebook"
REVISION_TAG = "airflow_ml.notebook.revision"
USER_TAG = "airflow_ml.user"
AGAIN_TAG = "airflow_ml.notebook.again"
"""The run whose text a run took."""
_FOLDER = "notebook"
_SOURCE = f"{_FOLDER}/source.json"


class Revision(NamedTuple):
    """One run of a notebook.

    :param run_id: of its MLflow run.
    :param version: the Git commit, or a digest of its text and of the notebooks that it runs.
    :param state: MLflow's: ``RUNNING``, ``FINISHED``, ``FAILED``, ``KILLED``.
    :param started: milliseconds since 1970.
    :param url: of its page in MLflow; empty when nobody serves one.
    """

    run_id: str
    version: str
    path: str
    state: str
    user: str
    dag_id: str
    dag_run: str
    started: int
    metrics: dict[str, float]
    url: str


def revisions(
    client: MlflowClient, url_of: Callable[[str, str], str], path: str, *, experiment: str | None = None, limit: int = 50
) -> list[Revision]:
    """The runs of a notebook, newest first.

    :param url_of: gives the page of a run, from its experiment's id and its own.
    :param path: the notebook's path or the end of it, after a slash.
    :param experiment: the name of the only experiment to look in.
    """
    end = path.lstrip("/").replace("'", "")
    known = client.search_experiments(filter_string=f"name = '{experiment}'" if experiment else None)
    ids = [found.experiment_id for found in known]
    runs = client.search_runs(ids, f"tags.`{PATH_TAG}` LIKE '%{end}'", max_results=limit, order_by=["attributes.start_time DESC"])
    return [_revision(run, url_of) for run in runs if f"/{run.data.tags[PATH_TAG]}".endswith(f"/{end}")]


def executed(client: MlflowClient, run_id: str) -> str:
    """The executed notebook of a run, as the text of an ``.ipynb``."""
    names = [path for path in _kept(client, run_id) if path.endswith(".ipynb")]
    if not names:
        raise ConfigurationError(f"MLflow run {run_id}: keeps no executed notebook: it has not ended, or ran without mlflow")
    return _text(client, run_id, names[0])


def sources(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """What a run was shipped with: ``notebook``, its path among ``files``, which have a name and a text each."""
    if _SOURCE not in _kept(client, run_id):
        raise ConfigurationError(f"MLflow run {run_id}: keeps no notebook: it has not ended, or ran without mlflow")
    found: dict[str, Any] = json.loads(_text(client, run_id, _SOURCE))
    return found


def _kept(client: MlflowClient, run_id: str) -> list[str]:
    """The paths of what a run keeps of its notebook; :class:`ConfigurationError` when there is no such run."""
    from mlflow.exceptions import MlflowException

    try:
        return [item.path for item in client.list_artifacts(run_id, _FOLDER)]
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ConfigurationError(f"MLflow run {run_id}: there is none: airflow-ml notebook log PATH lists them") from None


def _text(client: MlflowClient, run_id: str, artifact: str) -> str:
    with TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run_id, artifact, folder)).read_text(encoding="utf-8")


def _version(tags: Mapping[str, str]) -> str:
    """The commit of now says nothing of a text of then."""
    commit = "" if AGAIN_TAG in tags else tags.get("mlflow.source.git.commit", "")
    return commit or tags.get(REVISION_TAG, "")


def _revision(run: Any, url_of: Callable[[str, str], str]) -> Revision:
    tags = run.data.tags
    return Revision(
        run_id=run.info.run_id,
        version=_version(tags),
        path=tags[PATH_TAG],
        state=run.info.status,
        user=tags.get(USER_TAG, ""),
        dag_id=tags.get("airflow.dag_id", ""),
        dag_run=tags.get("airflow.run_id", ""),
        started=run.info.start_time,
        metrics=dict(run.data.metrics),
        url=url_of(run.info.experiment_id, run.info.run_id),
    )
