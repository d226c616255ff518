"""How the clients of AWS are made from an Airflow connection, and what may fail before the first call."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import pytest
from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_ml_provider.core.errors import ConfigurationError, Unavailable
from airflow_ml_provider.hooks.connection import ClusterConnection
from airflow_ml_provider.hooks.sign_in import aws
from airflow_ml_provider.hooks.sign_in.aws import aws_clients, signed_in


@pytest.fixture
def clients(monkeypatch):
    """A function that gives the clients of a connection with the extra."""

    def made(**extra):
        connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"region_name": "eu-west-1", **extra}}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_TEST", json.dumps(connection))
        return aws_clients(ClusterConnection("c", "emr", "aws_test", "s3://bucket/x"))

    return made


def test_a_call_that_is_not_idempotent_has_a_client_that_repeats_nothing(clients):
    given = clients(config_kwargs={"read_timeout": 7, "retries": {"mode": "adaptive", "max_attempts": 9}})
    once, often = given("emr", repeats=False), given("emr")
    assert (once.meta.config.retries["total_max_attempts"], often.meta.config.retries["total_max_attempts"]) == (1, 10)
    assert once.meta.config.read_timeout == often.meta.config.read_timeout == 7
    assert given("emr") is often
    assert given("emr", repeats=False) is once


def test_clients_share_one_session_and_its_credentials(clients):
    given = clients()
    credentials = {id(given(name)._request_signer._credentials) for name in ("emr", "s3", "emr-serverless")}
    assert len(credentials) == 1


def test_a_signal_handler_gets_a_client_while_its_thread_makes_one(clients, monkeypatch):
    """``on_kill`` runs in a signal handler, between any two steps of the same thread."""
    given, get, asked = clients(), BaseHook.get_connection, []

    def killed(_, conn_id):
        if not asked:
            asked.append(conn_id)
            given("emr")
        return get(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", classmethod(killed))
    thread = threading.Thread(target=given, args=("s3",), daemon=True)
    thread.start()
    thread.join(60)
    assert asked
    assert not thread.is_alive(), "the handler waits for its own thread"


def test_an_endpoint_of_ones_own_is_taken_by_service(clients):
    given = clients(endpoint_url="http://127.0.0.1:1", service_config={"s3": {"endpoint_url": "http://127.0.0.1:2"}})
    assert [given(name).meta.endpoint_url for name in ("emr", "s3")] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def test_a_metadata_service_that_is_slow_is_asked_again(monkeypatch):
    monkeypatch.setattr(aws, "time", SimpleNamespace(sleep=lambda _: None))
    answers = [None, None, "credentials"]
    session = SimpleNamespace(get_credentials=lambda: answers.pop(0))
    assert signed_in(session) is session
    assert answers == []


def test_an_api_server_that_does_not_answer_is_a_passing_fault(clients, monkeypatch):
    def fail(_):
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    given = clients()
    monkeypatch.setattr(BaseHook, "get_connection", fail)
    with pytest.raises(Unavailable, match="does not give the connection 'aws_test' now"):
        given("emr")


def test_an_extra_that_the_amazon_provider_refuses_names_its_field(clients):
    with pytest.raises(ConfigurationError, match="extra field 'credentials_conn_id': "):
        clients(role_arn="arn:aws:iam::1:role/x", assume_role_method="by_magic")("emr")
