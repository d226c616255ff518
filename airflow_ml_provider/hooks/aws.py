"""Clients of AWS, signed in as an Airflow connection of type ``aws`` says."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.hook import BaseHook

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.core.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_ml_provider.hooks.spark_cluster import ClusterConnection

_PATIENCE = {"connect_timeout": 5, "read_timeout": 20}
_RETRIES = {"mode": "standard", "total_max_attempts": 3}
"""Few: whoever waits on a service backs off by itself, for as long as it likes."""


def aws_clients(connection: ClusterConnection) -> Callable[[str], Any]:
    """A function from a service's name to its boto3 client, made once.

    The Amazon provider's hook makes it, so an assumed role, a profile, a web identity and endpoints of one's own come with it.
    Without a connection boto3 looks for credentials by itself. Makes no call.
    """

    @cache
    def client(service: str) -> Any:
        conn_id = connection.credentials_conn_id
        if conn_id:
            _check(connection, conn_id)
        try:
            from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
            from botocore.config import Config  # type: ignore[import-untyped]
        except ImportError as error:
            fix = 'pip install "airflow-ml-provider[amazon]"'
            raise ConfigurationError(f"backend {connection.backend!r} cannot sign in ({error}): {fix}") from error
        hook: Any = AwsBaseHook(aws_conn_id=conn_id, client_type=service)
        given = hook.conn_config.botocore_config
        ours = Config(**_PATIENCE, retries=_RETRIES)
        return hook.get_client_type(config=ours.merge(given) if given else ours)

    return client


def _check(connection: ClusterConnection, conn_id: str) -> None:
    """Refuse a connection that is missing or of another type: the Amazon provider would go on as whoever the machine is."""
    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise connection.wrong("credentials_conn_id", f"got {conn_id!r}: create a connection with this id, of type aws") from None
    if found.conn_type != "aws":
        raise connection.wrong("credentials_conn_id", f"got {conn_id!r}, of type {found.conn_type!r}: takes one of type 'aws'")
