"""Linked services with parameters: each set of arguments is a connection of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.activities.lookup import hook_of
from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.model import Activity, Factory, Reference, Resource
from airflow_ml_provider.adf.support.clusters import cluster
from airflow_ml_provider.adf.support.connection_variants import connection_id
from airflow_ml_provider.adf.support.connections import needed
from airflow_ml_provider.adf.support.copies import copy_way
from airflow_ml_provider.adf.support.datasets import Way
from airflow_ml_provider.adf.support.verdicts import judge
from airflow_ml_provider.core.errors import SpecError
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import activity, copied, lake
from tests.airflow.test_adf_control import check, expression
from tests.airflow.test_adf_semantics import after, good, pipeline

__all__ = ["lake", "pipeline"]
DB: dict[str, Any] = {"db": {"type": "String", "defaultValue": "red"}, "port": {"type": "Int", "defaultValue": 1433}}


def _service(name: str, kind: str, parameters: dict[str, Any], **properties: Any) -> Resource:
    bag = {"type": kind, "parameters": parameters, "typeProperties": properties}
    return Resource("linkedService", name, kind, bag, PurePath(f"linkedService/{name}.json"))


def test_each_set_of_arguments_has_an_id() -> None:
    service = _service("Any DB", "AzureSqlDatabase", DB)

    def made(**arguments: Any) -> str:
        return connection_id("Any DB", service, arguments)

    assert [made(), made(db="red"), made(db="blue"), made(port=1), made(db=None)] == [
        *("any_db", "any_db", "any_db__blue__1433", "any_db__red__1", "any_db__null__1433")
    ]
    odd = [made(db=text) for text in ("Blue", "b-lue", "b_lue", "b.lue", "", "a" * 300, "a" * 301, "x__y", "x_y")]
    assert len(set(odd)) == len(odd) and all(one.startswith("any_db__") and len(one) < 250 for one in odd)
    assert made(db="srv.database.windows.net").startswith("any_db__srv_database_windows_net_")
    for wrong in ({"type": "AzureKeyVaultSecret"}, ["a"]):
        with pytest.raises(SpecError, match="takes a text"):
            made(db=wrong)
    with pytest.raises(SpecError, match="'key': got a secret"):
        connection_id("s", _service("s", "HttpServer", {"key": {"type": "SecureString"}}), {"key": "x"})


def test_a_linked_services_arguments_shape_its_cluster() -> None:
    """ "You can now parameterize a linked service and pass dynamic values at run time" ("Parameterize linked services")."""
    parameters = {"n": {"type": "String", "defaultValue": "1"}}
    service = _service(
        "bricks", "AzureDatabricks", parameters, newClusterNumOfWorker="@{linkedService().n}", domain="@linkedService().n"
    )
    lasting = _service("lasting", "AzureDatabricks", {"id": {"type": "String"}}, existingClusterId="@linkedService().id")
    factory = Factory(linked_services=(service, lasting))

    def wanted(name: str, **arguments: Any) -> Any:
        return cluster(Activity("a", "DatabricksNotebook", linked_service=Reference("", name, arguments)), factory)

    assert [(wanted("bricks", **given).fields["workers"], wanted("bricks", **given).conn_id) for given in ({}, {"n": "3"})] == [
        (1, ""),
        (3, "bricks__3"),
    ]
    assert {wanted("lasting", id=one).share for one in ("one", "two")} == {"lasting__one", "lasting__two"}
    with pytest.raises(SpecError, match="takes a value, as the cluster is planned before the run"):
        wanted("bricks", n=expression("@pipeline().parameters.n"))


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lake: Path) -> Path:
    documents: dict[str, Any] = {
        "linkedService/anydb.json": {"type": "AzureSqlDatabase", "parameters": {"db": {"type": "String"}}, "typeProperties": {}},
        "linkedService/anylake.json": {"type": "AzureBlobFS", "parameters": {"url": {"type": "String"}}, "typeProperties": {}},
        "dataset/anytab.json": {
            "type": "AzureSqlTable",
            "parameters": {"db": {"type": "String", "defaultValue": "red"}},
            "linkedServiceName": {"referenceName": "AnyDB", "parameters": {"db": expression("@dataset().db")}},
            "typeProperties": {"table": "t"},
        },
        **{
            f"dataset/{kind}.json": {
                "type": kind,
                "parameters": {"url": {"type": "String"}},
                "linkedServiceName": {"referenceName": "anylake", "parameters": {"url": expression("@dataset().url")}},
                "typeProperties": {"location": {"fileName": f"people.{kind}"}},
            }
            for kind in ("Json", "Parquet", "Avro")
        },
    }
    for path, properties in documents.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(json.dumps({"name": PurePath(path).stem, "properties": properties}))
    for name in ("red", "blue"):
        monkeypatch.setenv(
            f"AIRFLOW_CONN_ANYDB__{name.upper()}", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / f"{name}.db")})
        )
        hook_of(f"anydb__{name}").run([f"CREATE TABLE t AS SELECT '{name}' AS who", "CREATE TABLE seen (who text)"])
        (lake / name).mkdir()
        mount = {"conn_type": "mount", "extra": {"source": str(lake / name)}}
        monkeypatch.setenv(f"AIRFLOW_CONN_ANYLAKE__{name.upper()}", json.dumps(mount))
    return tmp_path


def _table(**arguments: Any) -> dict[str, Any]:
    return {"referenceName": "anytab", "type": "DatasetReference", "parameters": arguments}


def _file(kind: str, url: Any) -> dict[str, Any]:
    return {"referenceName": kind, "type": "DatasetReference", "parameters": {"url": url}}


def test_each_set_of_arguments_reads_its_own_database(pipeline: Callable[..., Run], export: Path, lake: Path) -> None:
    insert = [{"type": "NonQuery", "text": "INSERT INTO seen VALUES ('@{pipeline().parameters.which}')"}]
    service = {"referenceName": "anydb", "parameters": {"db": "@pipeline().parameters.which"}}
    (lake / "red" / "people.Json").write_text('{"id": 1}\n')
    which = expression("@pipeline().parameters.which")
    done = pipeline(
        "two_dbs",
        activity("default", "Lookup", dataset=_table()),
        activity("Blue", "Lookup", dataset=_table(db=which)),
        activity("Green", "Lookup", dataset=_table(db="green")),
        {**activity("tell", "Script", scripts=insert), "linkedServiceName": service},
        copied("move", _file("Json", expression("@concat('r', 'ed')")), _file("Parquet", which)),
        good("caught", after("Green", "Failed")),
        parameters={"which": {"type": "String", "defaultValue": "blue"}},
    )
    check(done)
    assert [done.xcom(name, "adf_record")["output"]["firstRow"] for name in ("default", "Blue")] == [
        {"who": "red"},
        {"who": "blue"},
    ]
    assert "'anydb__green' does not exist" in done.xcom("Green", "adf_record")["error"]["message"]
    assert [hook_of(f"anydb__{name}").get_records("SELECT * FROM seen") for name in ("red", "blue")] == [[], [("blue",)]]
    assert [one.name for one in (lake / "blue").iterdir()] == ["people.Parquet"]


def test_the_report_lists_each_set_and_refuses_what_it_cannot_tell_apart(export: Path) -> None:
    secret = {"type": "AzureKeyVaultSecret", "secretName": "s", "store": {"referenceName": "v"}}
    which = expression("@pipeline().parameters.which")
    activities = [
        activity("a", "Lookup", dataset=_table(db="blue")),
        activity("b", "Lookup", dataset=_table(db=which)),
        activity("c", "Lookup", dataset=_table(db=secret)),
        copied("known", _file("Json", "red"), _file("Avro", "blue")),
        copied("unknown", _file("Json", which), _file("Avro", which)),
        copied("rows", _file("Json", which), _file("Parquet", which)),
    ]
    (export / "pipeline").mkdir()
    (export / "pipeline" / "p.json").write_text(json.dumps({"name": "p", "properties": {"activities": activities}}))
    factory = load(export)
    assert [one.conn_id for one in needed(factory)] == [
        "anydb__blue",
        "anydb__{db}",
        *(f"anylake__{x}" for x in ("red", "blue", "{url}")),
    ]
    (made,) = factory.pipelines
    assert [copy_way(one, made, factory) for one in made.activities[3:]] == [Way.SPARK, Way.ROWS, Way.ROWS]
    assert [(one.where, one.text.partition(": takes")[0]) for one in judge(made, factory).reasons] == [
        (("c",), "linked service 'AnyDB': parameter 'db': got a secret"),
        (("unknown",), "a Copy from Json to Avro: its linked services have arguments that only the run knows"),
    ]
    tasks: Any = adf_dags(export)["p"].task_dict
    assert tasks["known.cluster"].spec["mounts"] == ["anylake__blue", "anylake__red"]
    assert "arguments that only the run knows" in tasks["unknown"].refusal
