"""The ready-made Data Factory DAGs from their exports, with real Spark on this machine and a slice of the flights."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.report import as_json
from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.state import OwnedCluster
from tests.airflow.conftest import Run, dags_of
from tests.airflow.test_adf_activities import copied, dataset, lake
from tests.airflow.test_adf_control import check
from tests.airflow.test_adf_semantics import after, pipeline

__all__ = ["lake", "pipeline"]

ROOT = Path(__file__).parents[2]
SLICE, FLIGHTS, AIRLINES = {"days": 3}, 2699, 16


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def dags(home: Path, spark_root: Path, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Iterator[dict[str, DAG]]:
    """The DAGs; clusters end with the test."""
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    connection = {"conn_type": "spark_cluster", "extra": {"backend": "local", "staging_uri": str(spark_root)}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps(connection))
    for conn_id in ("flights_landing", "flights_lake", "flights_db"):
        monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}", raising=False)
    yield dags_of(ROOT / "dags" / "data_factory.py")
    end_clusters(spark_root)


def kept_clusters(spark_root: Path) -> list[OwnedCluster]:
    """Those that outlive their activities: other tests have clusters too."""
    return [cluster for cluster in LocalBackend(spark_root).owned() if "adf_service" in cluster.tags]


def end_clusters(spark_root: Path) -> None:
    for cluster in kept_clusters(spark_root):
        LocalBackend(spark_root).terminate(cluster.id)


def rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return list(pq.read_table(folder).to_pylist())


def test_the_exports_are_imported_whole() -> None:
    report = as_json(load(ROOT / "include" / "adf"))
    assert {one["name"]: one["verdict"] for one in report["pipelines"]} == dict.fromkeys(
        ("flights_notebook", "flights_on_demand", "flights_hourly"), "imported"
    )
    assert not report["problems"]


@pytest.mark.soak
def test_spark_on_demand_is_one_cluster(dags: dict[str, DAG], home: Path, spark_root: Path) -> None:
    done = Run(dags["adf_flights_on_demand"], SLICE)
    check(done)
    (cluster,) = kept_clusters(spark_root)
    assert done.xcom("Delays_by_carrier.cluster") == done.xcom("Delays_by_airport.cluster")
    assert cluster.tags["adf_service"] == "flights_hdinsight"
    by_carrier = rows(home / "data" / "flights_lake" / "flights" / "on_demand" / "delays" / "carrier")
    assert sum(row["flights"] for row in by_carrier) == FLIGHTS
    assert done.xcom("Delays_by_carrier.finish", "adf_record")["output"] == {"runOutput": {"rows": len(by_carrier)}}


@pytest.mark.soak
def test_a_notebook_between_two_copies(dags: dict[str, DAG], home: Path) -> None:
    done = Run(dags["adf_flights_notebook"], SLICE)
    check(done)
    lines = (home / "data" / "flights_lake" / "flights" / "daily" / "delays.csv").read_text().splitlines()
    assert lines[0] == "carrier,month,flights,mean_delay,never_arrived"
    assert done.xcom("pipeline_end") == {"flights": FLIGHTS, "rows": len(lines) - 1}


@pytest.mark.soak
def test_an_hourly_load(dags: dict[str, DAG], home: Path) -> None:
    dag = dags["adf_flights_hourly"]
    assert (dag.is_paused_upon_creation, dag.max_active_runs) == (True, 1)
    for _ in range(2):
        check(Run(dag, SLICE))
    with sqlite3.connect(home / "data" / "flights.db") as database:
        (count,) = database.execute("SELECT sum(flights) FROM carrier_hours").fetchone()
    assert count == FLIGHTS
    assert len(rows(home / "data" / "flights_lake" / "flights" / "hourly" / "ingested" / "airlines")) == AIRLINES


@pytest.mark.soak
def test_every_format_into_the_next_one(
    pipeline: Callable[..., Run], lake: Path, tmp_path: Path, spark_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "spark_cluster", "extra": {"backend": "local", "staging_uri": str(spark_root)}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps(connection))
    (lake / "raw").mkdir()
    for number in range(2):
        (lake / "raw" / f"{number}.csv").write_text(f'n|text\n{number}|"a | ""b"""\n{number + 10}|\n')
    text = {"firstRowAsHeader": True, "columnDelimiter": "|", "escapeChar": '"'}
    kinds = {
        "raw": ("DelimitedText", text),
        "json": ("Json", {}),
        "orc": ("Orc", {}),
        "avro": ("Avro", {}),
        "parquet": ("Parquet", {}),
    }
    kinds["out"] = ("DelimitedText", {"columnDelimiter": ";", "compressionCodec": "gzip"})
    places = {
        name: dataset(tmp_path / "dataset", name, kind, "the lake", location={"folderPath": name}, **more)
        for name, (kind, more) in kinds.items()
    }
    typed = [
        {"source": {"name": "n"}, "sink": {"name": "n", "type": "Int64"}},
        {"source": {"name": "text"}, "sink": {"name": "said"}},
    ]
    names = list(kinds)
    steps = [
        copied(
            f"to {there}",
            places[here],
            places[there],
            *([after(f"to {here}")] if here != "raw" else []),
            sink={"storeSettings": {"copyBehavior": "MergeFiles"}},
            **({"translator": {"type": "TabularTranslator", "mappings": typed}} if here == "raw" else {}),
        )
        for here, there in pairwise(names)
    ]
    done = pipeline("formats", *steps)
    check(done)
    (written,) = (lake / "out").iterdir()
    assert written.name == "part-00000.csv"
    lines = sorted(gzip.decompress(written.read_bytes()).decode().splitlines())
    assert len(lines) == 4
    assert lines[0].startswith("0;")
    assert {done.xcom(f"to_{name}.cluster") for name in names[1:]} == {done.xcom("to_json.cluster")}
    assert [path.name for path in (lake / "orc").iterdir()] == ["part-00000.orc"]
    end_clusters(spark_root)
