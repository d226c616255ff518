"""``airflow-ml adf connections``: what a user must create before an export runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.report import as_json, as_text
from airflow_ml_provider.adf.triggers.windows import Windows
from airflow_ml_provider.cli import main


def secret(name: Any) -> dict[str, Any]:
    return {
        "type": "AzureKeyVaultSecret",
        "store": {"referenceName": "Vault", "type": "LinkedServiceReference"},
        "secretName": name,
    }


@pytest.fixture
def export(tmp_path: Path) -> Path:
    web = {"url": "https://x", "method": "GET", "headers": {"token": secret("api token")}}
    documents: dict[str, Any] = {
        "linkedService/1.json": (
            "Lake (raw)",
            {"type": "AzureBlobFS", "typeProperties": {"url": "https://lake.dfs.core.windows.net"}},
        ),
        "linkedService/2.json": (
            "Warehouse",
            {"type": "AzureSqlDatabase", "typeProperties": {"password": secret("sql-password")}},
        ),
        "linkedService/3.json": ("Vault", {"type": "AzureKeyVault", "typeProperties": {"baseUrl": "https://v.vault.azure.net/"}}),
        "linkedService/4.json": (
            "Bricks",
            {"type": "AzureDatabricks", "typeProperties": {"accessToken": secret("sql-password")}},
        ),
        "linkedService/5.json": ("Sap", {"type": "SapTable", "typeProperties": {"password": secret("@dataset().name")}}),
        "trigger/1.json": (
            "landed",
            {
                "type": "BlobEventsTrigger",
                "pipelines": [{"pipelineReference": {"referenceName": "load"}}],
                "typeProperties": {"scope": "/storageAccounts/other", "blobPathBeginsWith": "/raw/"},
            },
        ),
        "trigger/2.json": (
            "yearly",
            {
                "type": "ScheduleTrigger",
                "pipelines": [{"pipelineReference": {"referenceName": "load"}}],
                "typeProperties": {"recurrence": {"frequency": "Year", "startTime": "2024-01-01T00:00:00Z"}},
            },
        ),
        "pipeline/1.json": ("load", {"activities": [{"name": "ask", "type": "WebActivity", "typeProperties": web}]}),
    }
    for path, (name, properties) in documents.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(json.dumps({"name": name, "properties": properties}))
    return tmp_path


def test_connections_and_secrets(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adf", "connections", str(export), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["conn_id"], one["conn_type"]) for one in found["connections"]] == [
        ("lake_raw", "mount"),
        ("warehouse", "mssql"),
        ("vault", "secrets backend"),
        ("bricks", "spark_cluster"),
        ("sap", ""),
    ]
    assert [(one["name"], one["url"]) for one in found["secrets"]] == [
        (name, "https://v.vault.azure.net/") for name in ("@dataset().name", "api token", "sql-password")
    ]
    assert main(["adf", "connections", str(export)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "warehouse  mssql                  Warehouse (AzureSqlDatabase)"
    assert lines[-1] == "variable 'sql-password': a secret of Vault (https://v.vault.azure.net/)"
    assert main(["adf", "connections", str(export / "nowhere")]) == 1


def test_an_account_that_no_linked_service_names_is_a_connection_of_its_own(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (export / "linkedService" / "1.json").unlink()
    assert main(["adf", "connections", str(export)]) == 0
    assert "other      mount                  landed (BlobEventsTrigger)" in capsys.readouterr().out


def test_the_report_tells_what_starts_a_pipeline(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adf", "report", str(export), "--json"]) == 0
    (pipeline,) = json.loads(capsys.readouterr().out)["pipelines"]
    assert pipeline["triggers"] == ["landed: each blob that is written in other below raw/"]
    assert pipeline["triggers_left_out"] == [
        "trigger 'yearly': got the frequency 'year': takes one of minute, hour, day, week, month"
    ]


def test_the_report_counts_the_windows_that_are_over(tmp_path: Path) -> None:
    """An hourly window since 2019: by the documentation of tumbling windows, a backfill of them all."""
    start = {"pipelineReference": {"referenceName": "load"}}
    hourly = {"frequency": "Hour", "interval": 1, "startTime": "2019-01-01T00:00:00Z", "delay": "00:30:00"}
    documents = {
        "pipeline/load": {"activities": []},
        "trigger/each hour": {"type": "TumblingWindowTrigger", "typeProperties": hourly, "pipeline": start},
        "trigger/each day": {
            "type": "ScheduleTrigger",
            "typeProperties": {"recurrence": {"frequency": "Day", "interval": 1, "startTime": "2019-01-01T00:00:00Z"}},
            "pipelines": [start],
        },
    }
    for name, properties in documents.items():
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"name": path.stem, "properties": properties}))
    at = datetime(2019, 1, 3, 0, 29, tzinfo=UTC)
    (pipeline,) = as_json(load(tmp_path), at)["pipelines"]
    assert pipeline["windows_due"] == {"each hour": 47}
    assert "trigger 'each hour': 47 windows are over" in as_text(load(tmp_path), at)


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 48),
        ({"end": datetime(2019, 1, 1, 5, 30, tzinfo=UTC)}, 5),
        ({"since": datetime(2019, 1, 2, 0, 1, tzinfo=UTC)}, 23),
        ({"since": datetime(2030, 1, 1, tzinfo=UTC)}, 0),
        ({"unit": "month", "every": 1}, 0),
    ],
)
def test_windows_that_are_over(fields: dict[str, Any], count: int) -> None:
    windows = Windows(**{"start": datetime(2019, 1, 1, tzinfo=UTC), "unit": "hour", "every": 1, **fields})
    assert windows.due(datetime(2019, 1, 3, tzinfo=UTC)) == count
