"""Where the executed notebook is kept."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from airflow_ml_provider.runners.notebook.main import store


@pytest.mark.filterwarnings("ignore")
def test_beside_the_result_when_mlflow_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_ML_RESULT", str(tmp_path / "result.json"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert store({"n.html": "<p>"}, "0" * 32) == f"The executed notebook is in {tmp_path / 'notebook'}"
    assert (tmp_path / "notebook" / "n.html").read_text() == "<p>"
    assert f"MLflow run {'0' * 32} does not keep the executed notebook: " in capsys.readouterr().err
