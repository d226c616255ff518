"""The local proxy to a Spark Connect server elsewhere: what a client is told when the token cannot be renewed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote

import grpc
import pytest

from airflow_ml_provider.core.backend import Endpoint
from airflow_ml_provider.core.errors import AccessDenied, NotFound, ProviderError, Unavailable
from airflow_ml_provider.hooks.connect import Door


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Unavailable("throttled"), grpc.StatusCode.UNAVAILABLE),
        (AccessDenied("expired"), grpc.StatusCode.UNAUTHENTICATED),
        (NotFound("the cluster has ended"), grpc.StatusCode.NOT_FOUND),
    ],
)
def test_a_passing_fault_of_the_renewal_is_one_that_sparks_client_repeats(fault: ProviderError, code: grpc.StatusCode) -> None:
    """Spark's own client repeats UNAVAILABLE and little else: ``pyspark.sql.connect.client.retries.DefaultPolicy``."""

    def renew() -> Endpoint:
        raise fault

    past = datetime.now(tz=UTC) - timedelta(minutes=1)
    with Door(Endpoint("localhost:1", {"x-aws-proxy-auth": "t"}, past), renew) as door:
        address, _, fields = door.url("session").removeprefix("sc://").partition("/;")
        key = unquote(dict(parse_qsl(fields, separator=";"))["x-airflow-ml-key"])
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/spark.connect.SparkConnectService/Config")(
                b"", metadata=[("x-airflow-ml-key", key)], timeout=60
            )
    assert (caught.value.code(), caught.value.details()) == (code, str(fault))
