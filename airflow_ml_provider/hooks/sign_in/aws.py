"""The backends on AWS sign in as an Airflow connection of type ``aws`` says."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.hook import BaseHook

from airflow_ml_provider._compat import AirflowException, AirflowNotFoundException, AirflowRuntimeError
from airflow_ml_provider.core.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from airflow_ml_provider.backends.aws.service import Clients
    from airflow_ml_provider.hooks.connection import ClusterConnection

_PATIENCE = {"connect_timeout": 5, "read_timeout": 20}
_RETRIES = {"mode": "standard", "total_max_attempts": 3}
"""Few: whoever waits on a service backs off by itself, for as long as it likes."""
_PAUSES = (0.5, 1.0, 2.0)
"""Seconds between looks for credentials."""
_ONCE = {"mode": "standard", "total_max_attempts": 1}
"""Of calls that would do their work again, whatever the connection says."""


def sign_in(connection: ClusterConnection) -> dict[str, Any]:
    """Clients of AWS, and the place in S3 where programs and results are kept. Makes no call.

    :raises ConfigurationError: the connection names no place.
    """
    if not connection.staging_uri:
        raise connection.wrong("staging_uri", "expected where programs and results are kept, such as s3://bucket/airflow")
    return {"clients": aws_clients(connection), "staging_uri": connection.staging_uri}


def aws_clients(connection: ClusterConnection) -> Clients:
    """A function from a service's name to its boto3 client, made once.

    The Amazon provider's hook makes its session, so an assumed role, a profile, a web identity and endpoints of one's own come with
    it. All clients share the session and its credentials. Without a connection boto3 looks for credentials by itself. Makes no call.
    """
    lock = threading.RLock()  # reentrant: ``on_kill`` runs in a signal handler, perhaps while the same thread holds it
    clients: dict[tuple[str, bool], Any] = {}

    def client(service: str, *, repeats: bool = True) -> Any:
        with lock:  # a session is not safe to use from several threads, its clients are
            if (service, repeats) not in clients:
                try:
                    clients[service, repeats] = _client(hook(), session(), service, repeats=repeats)
                except AirflowRuntimeError as error:
                    raise Unavailable(
                        f"Airflow does not give the connection {connection.credentials_conn_id!r} now: {error}"
                    ) from error
                except (AirflowException, NotImplementedError, ValueError) as error:
                    raise connection.wrong("credentials_conn_id", str(error)) from error
            return clients[service, repeats]

    @cache
    def hook() -> Any:
        conn_id = connection.credentials_conn_id
        if conn_id:
            _check(connection, conn_id)
        try:
            from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
        except ImportError as error:
            fix = 'pip install "airflow-ml-provider[amazon]"'
            raise ConfigurationError(f"backend {connection.backend!r} cannot sign in ({error}): {fix}") from error
        return AwsBaseHook(aws_conn_id=conn_id)

    @cache
    def session() -> Any:
        return signed_in(hook().get_session())

    return client


def signed_in(session: Any) -> Any:
    """The session, once it has found credentials, or has surely none.

    On a machine of AWS, botocore asks the metadata service once and for one second. One that is slow looks like a machine without
    credentials, which would be a final error.
    """
    for pause in _PAUSES:
        if session.get_credentials() is not None:
            break
        time.sleep(pause)
    return session


def _client(hook: Any, session: Any, service: str, *, repeats: bool) -> Any:
    from botocore.config import Config  # type: ignore[import-untyped]

    config = Config(**_PATIENCE, retries=_RETRIES)
    if given := hook.conn_config.botocore_config:
        config = config.merge(given)
    if not repeats:
        config = config.merge(Config(retries=_ONCE))
    endpoint = hook.conn_config.get_service_endpoint_url(service_name=service)
    return session.client(service, endpoint_url=endpoint, config=config, verify=hook.verify)


def _check(connection: ClusterConnection, conn_id: str) -> None:
    """Refuse a connection that is missing or of another type: the Amazon provider would go on as whoever the machine is."""
    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise connection.wrong("credentials_conn_id", f"got {conn_id!r}: create a connection with this id, of type aws") from None
    if found.conn_type != "aws":
        raise connection.wrong("credentials_conn_id", f"got {conn_id!r}, of type {found.conn_type!r}: takes one of type 'aws'")
