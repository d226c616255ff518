"""The fake of Amazon's services fails as they do: what botocore makes of each named fault, and whether the work was done."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tests.fakes.emr import BUCKET, Services, client, clients, serving
from tests.fakes.emr_faults import CALLS
from tests.fakes.faults import NEW_STATE, Fault

FLOW = {"Name": "x", "Instances": {}, "ReleaseLabel": "emr-7.13.0", "LogUri": f"s3://{BUCKET}/logs/"}
LOG = "logs/j-1/steps/s-1/stdout.gz"


@pytest.fixture(scope="module")
def running() -> Iterator[Services]:
    with serving(Services()) as services:
        yield services


@pytest.fixture
def services(running: Services) -> Iterator[Services]:
    yield running
    running.faults.clear()
    running.clusters.clear()


@pytest.mark.parametrize(
    ("fault", "raises", "done"),
    [
        (Fault.ANSWER_LOST, ConnectionClosedError, True),
        (Fault.ANSWER_LATE, ReadTimeoutError, True),
        (Fault.BROKEN_AFTER, ClientError, True),
        (Fault.REFUSED, EndpointConnectionError, False),
        (Fault.RESET, ConnectionClosedError, False),
        (Fault.THROTTLED, ClientError, False),
        (Fault.BROKEN_BEFORE, ClientError, False),
        (Fault.DENIED, ClientError, False),
        (Fault.EXPIRED, ClientError, False),
    ],
)
def test_what_a_client_sees_and_whether_the_work_was_done(
    services: Services, fault: Fault, raises: type[Exception], done: bool
) -> None:
    services.faults.add(fault, "RunJobFlow")
    emr = clients(services, read_timeout=1 if fault is Fault.ANSWER_LATE else 20)("emr")
    with pytest.raises(raises):
        emr.run_job_flow(**FLOW)
    services.faults.expect_met(fault)
    services.faults.clear()
    assert len(services.clusters) == done
    assert emr.run_job_flow(**FLOW)["JobFlowId"]


def test_a_slow_answer_arrives(services: Services) -> None:
    services.faults.add(Fault.SLOW, "RunJobFlow")
    assert clients(services)("emr").run_job_flow(**FLOW)["JobFlowId"]


def test_a_new_cluster_is_not_shown_for_as_many_looks_as_told(services: Services) -> None:
    services.faults.add(Fault.INVISIBLE, "RunJobFlow", looks=2)
    emr = clients(services)("emr")
    made = emr.run_job_flow(**FLOW)["JobFlowId"]
    with pytest.raises(ClientError, match="is not valid"):
        emr.describe_cluster(ClusterId=made)
    assert emr.list_clusters()["Clusters"] == []
    assert [item["Id"] for item in emr.list_clusters()["Clusters"]] == [made]


def test_a_state_that_nobody_knows(services: Services) -> None:
    emr = clients(services)("emr")
    made = emr.run_job_flow(**FLOW)["JobFlowId"]
    services.faults.add(Fault.UNKNOWN_STATE, CALLS["emr"]["describe"])
    assert emr.describe_cluster(ClusterId=made)["Cluster"]["Status"]["State"] == NEW_STATE


def test_expired_credentials_stay_so_and_others_work(services: Services) -> None:
    services.faults.add(Fault.EXPIRED, "ListClusters")
    for _ in range(2):
        with pytest.raises(ClientError, match="ExpiredToken"):
            clients(services)("emr").list_clusters()
    with pytest.raises(ClientError, match="ExpiredToken"):
        clients(services)("s3").put_object(Bucket=BUCKET, Key="x", Body=b"")
    assert client(services.endpoint, "emr", key="renewed").list_clusters()["Clusters"] == []


@pytest.mark.parametrize(
    ("fault", "raises"),
    [(Fault.LOG_DENIED, ClientError), (Fault.LOG_CORRUPT, zlib.error), (Fault.LOG_TRUNCATED, EOFError)],
)
def test_logs_that_cannot_be_read(services: Services, fault: Fault, raises: Any) -> None:
    s3 = clients(services)("s3")
    s3.put_object(Bucket=BUCKET, Key=LOG, Body=gzip.compress(b"some lines\n" * 99))
    services.faults.add(fault)
    with pytest.raises(raises):
        gzip.decompress(s3.get_object(Bucket=BUCKET, Key=LOG)["Body"].read())
    assert gzip.decompress(s3.get_object(Bucket=BUCKET, Key=LOG)["Body"].read()) == b"some lines\n" * 99


def test_a_body_that_is_cut(services: Services) -> None:
    s3 = clients(services)("s3")
    s3.put_object(Bucket=BUCKET, Key="x", Body=b"x" * 9999)
    services.faults.add(Fault.BODY_CUT, "GetObject */x")
    with pytest.raises(ResponseStreamingError):
        s3.get_object(Bucket=BUCKET, Key="x")["Body"].read()
