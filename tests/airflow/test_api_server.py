"""Airflow's API server restarts: whoever asks it for a connection asks again, and fails no task."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk import Variable
from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_ml_provider.core.errors import Unavailable
from airflow_ml_provider.core.spec import JobSpec, Notebook
from airflow_ml_provider.hooks import mlflow as hooks
from airflow_ml_provider.hooks.mlflow import MLflowHook
from airflow_ml_provider.hooks.mount import MountHook
from airflow_ml_provider.operators.base import insist
from airflow_ml_provider.operators.notebooks import secrets_of
from airflow_ml_provider.operators.tracking import Tracking
from airflow_ml_provider.sensors.mount import MountFileSensor


@pytest.fixture
def restarts(monkeypatch):
    """Airflow's API server gives nothing for its first two calls, then everything; how often it was asked.

    As ``airflow.sdk.execution_time.context._get_connection`` and ``_get_variable`` have it.
    """
    asked = []
    monkeypatch.setattr("airflow_ml_provider.core.polling.MAX_BACKOFF", 0.02)

    def answering(call):
        def answer(_, *args, **kwargs):
            asked.append(args)
            if len(asked) <= 2:
                raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
            return call(*args, **kwargs)

        return classmethod(answer)

    monkeypatch.setattr(BaseHook, "get_connection", answering(BaseHook.get_connection))
    monkeypatch.setattr(Variable, "get", answering(Variable.get))
    return asked


def test_a_sensor_of_files_waits_on(restarts, monkeypatch, tmp_path):
    (tmp_path / "a.csv").touch()
    monkeypatch.setenv("AIRFLOW_CONN_RAW", json.dumps({"conn_type": "mount", "extra": {"source": tmp_path.as_uri()}}))
    sensor = MountFileSensor(task_id="wait", path="mount://raw/*.csv")
    assert [sensor.poke({}).is_done for _ in range(3)] == [False, False, True]


def test_a_mount_is_opened_later(restarts, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_RAW", json.dumps({"conn_type": "mount", "extra": {"source": tmp_path.as_uri()}}))
    for _ in range(2):
        with pytest.raises(Unavailable, match="connection 'raw': Airflow's API server does not give it"):
            MountHook("raw").mount  # noqa: B018 - a property
    assert MountHook("raw").mount.source == tmp_path.as_uri()


def test_a_job_begins_with_its_run_in_mlflow(restarts, monkeypatch):
    """The same job's environment holds the server's address in every case."""
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": "http://127.0.0.1:1"}))
    monkeypatch.setattr(hooks, "TRACKING_LIMIT", 0.1)
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="restarts", map_index=-1, try_number=1)
    context = {"ti": ti, "dag_run": SimpleNamespace(run_after=datetime(2026, 1, 1, tzinfo=UTC))}
    tracked = Tracking(MLflowHook.default_conn_name, None).start(context, token="t", name="j", cluster="c")
    assert tracked.env["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:1"
    assert len(restarts) > 2


@pytest.mark.parametrize("reference", ["variable:key", "connection:store/password"])
def test_a_secret_of_a_notebook_is_read_again(restarts, monkeypatch, tmp_path, reference):
    monkeypatch.setenv("AIRFLOW_VAR_KEY", "s3cret")
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "generic", "password": "s3cret"}))
    (tmp_path / "n.py").write_text("# Databricks notebook source\npass\n")
    spec = JobSpec(name="j", program=Notebook(path=str(tmp_path / "n.py"), secrets={"scope/key": reference}))
    assert "s3cret" in str(insist(lambda: secrets_of(spec, {}), log=SimpleNamespace(warning=lambda *_: None)))
    assert len(restarts) == 3
