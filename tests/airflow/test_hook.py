"""The ``spark_cluster`` connection: what it takes, what it says when it is wrong, its form and its Test button."""

from __future__ import annotations

import json
import stat

import pytest

from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.core.registry import backend_names
from airflow_ml_provider.hooks.connection import parse_connection
from airflow_ml_provider.hooks.spark_cluster import SparkClusterHook


@pytest.fixture
def connect(monkeypatch):
    """A function that sets the connection ``c`` and gives its hook."""

    def set_to(extra, conn_type="spark_cluster"):
        monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps({"conn_type": conn_type, "extra": extra}))
        return SparkClusterHook("c")

    return set_to


def test_defaults_lie_under_the_users_fields(connect):
    hook = connect({"backend": "memory", "defaults": '{"workers": 2, "spark_conf": {"a": "1", "b": "1"}, "name": "d"}'})
    spec = hook.cluster_spec({"workers": 4, "spark_conf": {"b": "2"}})
    assert (spec.name, spec.workers, spec.spark_conf) == ("d", 4, {"a": "1", "b": "2"})


def test_the_form_may_give_defaults_as_an_object_and_leave_fields_empty():
    connection = parse_connection("c", json.dumps({"backend": "", "staging_uri": None, "defaults": {"workers": 1}}))
    assert (connection.backend, connection.staging_uri, connection.defaults) == ("local", None, {"workers": 1})


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            '{"backend": "emrr"}',
            "connection 'c', extra field 'backend': expected one of emr, emr-serverless, local, memory, got 'emrr'",
        ),
        (
            '{"stagin_uri": "x"}',
            "connection 'c', extra: expected the fields backend, credentials_conn_id, staging_uri, defaults, got the field 'stagin_uri'",
        ),
        ('{"defaults": "{1"}', "connection 'c', extra field 'defaults': expected JSON"),
        ('{"defaults": [1]}', "connection 'c', extra field 'defaults': expected a JSON object, got list"),
        ("nonsense", "connection 'c', extra: expected JSON"),
    ],
)
def test_a_wrong_field_is_named_with_its_fix(extra, message):
    with pytest.raises(ConfigurationError) as caught:
        parse_connection("c", extra)
    assert message in str(caught.value)


def test_wrong_defaults_name_the_connection(connect):
    with pytest.raises(ConfigurationError, match=r"connection 'c', extra field 'defaults': ClusterSpec.workers: got 'x'"):
        connect({"backend": "memory", "defaults": {"workers": "x"}}).cluster_spec({})
    with pytest.raises(SpecError, match=r"ClusterSpec.workers: got 'y'"):
        connect({"backend": "memory"}).cluster_spec({"workers": "y"})


def test_a_local_root_is_an_absolute_folder(connect):
    with pytest.raises(
        ConfigurationError,
        match=r"extra field 'staging_uri': expected an absolute folder, such as file:///var/lib/spark, got 's3://b/x'",
    ):
        _ = connect({"backend": "local", "staging_uri": "s3://b/x"}).backend


def test_a_missing_connection_and_one_of_another_type_are_named(connect, airflow_db):
    with pytest.raises(ConfigurationError, match="connection 'nowhere' does not exist: create a connection"):
        _ = SparkClusterHook("nowhere").connection
    with pytest.raises(ConfigurationError, match="connection 'c': expected the type 'spark_cluster', got 'http'"):
        _ = connect({}, conn_type="http").connection


def test_a_handle_of_another_service_is_refused(connect):
    connect({"backend": "memory"})
    assert SparkClusterHook.for_handle("memory://c/x").backend.name == "memory"
    with pytest.raises(ConfigurationError, match="got 'memory', but local://c/x was made on 'local'"):
        SparkClusterHook.for_handle("local://c/x")


def test_the_test_button(connect):
    assert connect({"backend": "memory"}).test_connection() == (True, "memory: ready, 0 live clusters")
    good, message = connect({"backend": "memory", "defaults": {"worker": {"spot": True}}}).test_connection()
    assert not good
    assert "ClusterSpec.worker.spot: the memory backend cannot honour it" in message
    assert connect({"backend": "nothing"}).test_connection()[0] is False


def test_the_test_button_of_the_local_backend(connect, tmp_path):
    pytest.importorskip("pyspark")
    root = tmp_path / "root"
    good, message = connect({"backend": "local", "staging_uri": str(root)}).test_connection()
    assert good, message
    blocked = tmp_path / "file"
    blocked.write_text("")
    blocked.chmod(stat.S_IRUSR)
    good, message = connect({"backend": "local", "staging_uri": str(blocked)}).test_connection()
    assert not good
    assert str(blocked) in message


def test_the_form_is_in_the_page(airflow_db):
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    found = {item.connection_type: item for item in HookMetaService.hook_meta_data()}["spark_cluster"]
    assert set(found.extra_fields) == {"backend", "credentials_conn_id", "staging_uri", "defaults"}
    assert found.standard_fields.host.hidden
    assert found.extra_fields["backend"]["schema"]["enum"] == backend_names()


def test_the_test_button_through_the_api(airflow_db, monkeypatch):
    from airflow.models.connection import Connection

    good, message = Connection(conn_id="tested", conn_type="spark_cluster", extra='{"backend": "emrr"}').test_connection()
    assert (good, "extra field 'backend'" in message or "not" in message) == (False, True)
