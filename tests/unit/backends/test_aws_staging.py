"""The staging area as the Test button tries it, and as a teardown empties it, on moto's S3."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from airflow_ml_provider.backends.aws.storage import Store
from airflow_ml_provider.backends.emr.backend import EmrBackend
from airflow_ml_provider.backends.emr_serverless.backend import EmrServerlessBackend
from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.core.backend import dropped_defaults
from airflow_ml_provider.core.errors import AccessDenied, SpecError, Unavailable
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode
from airflow_ml_provider.core.staging import Place

STAGING = Place("s3", "a-bucket", "airflow")
ROLE = {"executionRoleArn": "arn:aws:iam::123456789012:role/jobs"}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        found = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        found.create_bucket(Bucket=STAGING.bucket)
        yield found


@pytest.fixture
def s3(client: Any) -> Iterator[Any]:
    yield client
    for key in keys(client):
        client.delete_object(Bucket=STAGING.bucket, Key=key)


@pytest.fixture
def answers(s3: Any) -> Iterator[Callable[[str, int, dict[str, Any]], None]]:
    """Have S3 answer a call in another way: its name, the status, what botocore reads of it."""
    made = []

    def answer(call: str, status: int, parsed: dict[str, Any]) -> None:
        def handler(**_: Any) -> Any:
            return SimpleNamespace(status_code=status), {
                **parsed,
                "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
            }

        s3.meta.events.register(f"before-call.s3.{call}", handler)
        made.append((call, handler))

    yield answer
    for call, handler in made:
        s3.meta.events.unregister(f"before-call.s3.{call}", handler)


def keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=STAGING.bucket).get("Contents", ())]


def denied(**more: str) -> dict[str, str]:
    return {"Code": "AccessDenied", "Message": "Access Denied", **more}


def test_the_test_button_leaves_nothing(s3: Any) -> None:
    backend = EmrBackend(lambda _: s3, str(STAGING))
    assert backend.check() == "staging in s3://a-bucket/airflow"
    assert keys(s3) == []


def test_the_test_button_names_a_missing_permission_to_delete(s3: Any, answers: Any) -> None:
    """S3 answers 200, and tells of each key that it is denied (its reference, DeleteObjects)."""
    answers("DeleteObjects", 200, {"Errors": [denied(Key="airflow/check/object")]})
    with pytest.raises(AccessDenied, match=r"Grant s3:DeleteObject to .*s3://a-bucket/airflow/check/object stays in the bucket"):
        EmrBackend(lambda _: s3, str(STAGING)).check()
    with pytest.raises(AccessDenied, match=r"Grant s3:DeleteObject"):
        EmrBackend(lambda _: s3, str(STAGING)).check()
    assert keys(s3) == ["airflow/check/object"]


@pytest.mark.parametrize(
    ("call", "action"), [("PutObject", "s3:PutObject"), ("GetObject", "s3:GetObject"), ("ListObjectsV2", "s3:ListBucket")]
)
def test_the_test_button_names_every_missing_permission(s3: Any, answers: Any, call: str, action: str) -> None:
    answers(call, 403, {"Error": denied()})
    with pytest.raises(AccessDenied, match=f"Grant {action} to"):
        EmrBackend(lambda _: s3, str(STAGING)).check()


def test_a_folder_whose_objects_stay_is_an_error(s3: Any, answers: Any) -> None:
    store = Store(lambda: s3)
    store.write(STAGING / "clusters" / "a" / "id", b"")
    answers("DeleteObjects", 200, {"Errors": [{"Key": "x", "Code": "InternalError", "Message": "try again"}]})
    with pytest.raises(Unavailable, match="DeleteObjects: InternalError: .*try again"):
        store.remove(STAGING / "clusters" / "a")


def test_a_large_file_is_sent_once(s3: Any, tmp_path: Path) -> None:
    path = tmp_path / "packages.zip"
    path.write_bytes(b"x" * 100_000)
    sent: list[int] = []

    def note(**_: Any) -> None:
        sent.append(1)

    s3.meta.events.register("before-call.s3.PutObject", note)
    first, second = (Store(lambda: s3).upload_file(STAGING, path) for _ in range(2))
    s3.meta.events.unregister("before-call.s3.PutObject", note)
    assert (first, len(sent)) == (second, 1)
    assert Store(lambda: s3).read(first) == b"x" * 100_000


def test_a_large_file_is_sent_where_listing_is_denied(s3: Any, answers: Any, tmp_path: Path) -> None:
    """A missing object is 403 to whoever may not list (S3's reference, HeadObject)."""
    path = tmp_path / "packages.zip"
    path.write_bytes(b"x")
    answers("HeadObject", 403, {"Error": {"Code": "403", "Message": "Forbidden"}})
    assert Store(lambda: s3).read(Store(lambda: s3).upload_file(STAGING, path)) == b"x"


@pytest.mark.parametrize("uri", ["s3://bucket/team#1", "s3://bucket/team?x", "s3://bucket/#"])
def test_a_staging_uri_is_not_cut(uri: str) -> None:
    with pytest.raises(SpecError, match=r"takes a folder in a bucket, without '\?' and '#'"):
        Place.parse(uri, "s3")


def test_a_default_that_a_service_cannot_honour_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    serverless = EmrServerlessBackend(lambda _: pytest.fail("a plan made a call"), str(STAGING))
    with caplog.at_level(logging.INFO):
        serverless.plan_cluster(ClusterSpec(native=ROLE))
        serverless.plan_job(JobSpec(name="x", program=PythonCode(source="pass")))
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        *("ClusterSpec.max_lifetime", "ClusterSpec.workers", "JobSpec.timeout")
    ]
    assert "max_lifetime: the default, 1 day, 0:00:00, has no effect on the emr-serverless backend" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        serverless.plan_cluster(ClusterSpec(native=ROLE, max_lifetime=None, max_workers=4))
        serverless.plan_job(JobSpec(name="x", program=PythonCode(source="pass"), timeout=timedelta(hours=1)))
    assert caplog.records == []


def test_other_services_honour_every_default(tmp_path: Path) -> None:
    found = [EmrBackend(lambda _: None, str(STAGING)), LocalBackend(tmp_path)]
    assert [dropped_defaults(backend, ClusterSpec()) for backend in found] == [[], []]
