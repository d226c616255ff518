"""The staging area when answers are cut or come from something between: nothing is taken as done that S3 has not done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.aws.storage import Store
from airflow_ml_provider.core.errors import Unavailable
from airflow_ml_provider.core.staging import Place
from tests.fakes.emr import BUCKET, Services, clients, serving
from tests.fakes.faults import Fault

FOLDER = Place.parse(f"s3://{BUCKET}/storage", "s3")


@pytest.fixture(scope="module")
def running() -> Iterator[Services]:
    with serving(Services()) as services:
        yield services


@pytest.fixture
def services(running: Services) -> Iterator[Services]:
    yield running
    running.faults.clear()


@pytest.fixture
def store(services: Services) -> Store:
    made = clients(services)
    return Store(lambda: made("s3"))


def test_what_s3_has_not_written_is_not_taken_as_written(services: Services, store: Store, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(b"large")
    calls: dict[str, tuple[str, Callable[[], Any]]] = {
        "write": ("PutObject", lambda: store.write(FOLDER / "a", b"a")),
        "write_json": ("PutObject", lambda: store.write_json(FOLDER / "b.json", {})),
        "upload": ("PutObject", lambda: store.upload(FOLDER, b"c", "c")),
        "looked at before it is sent": ("HeadObject", lambda: store.upload_file(FOLDER, tmp_path / "large.bin")),
        "sent": ("PutObject", lambda: store.upload_file(FOLDER, tmp_path / "large.bin")),
    }
    for name, (call, work) in calls.items():
        services.faults.add(Fault.FOREIGN_ANSWER, call)
        with pytest.raises(Unavailable):
            work()
        services.faults.expect_met(Fault.FOREIGN_ANSWER)
        assert _objects(services) == [], name


@pytest.mark.parametrize("fault", [Fault.FOREIGN_ANSWER, Fault.FOREIGN_REFUSAL])
def test_what_is_there_is_not_taken_as_missing(services: Services, store: Store, fault: Fault) -> None:
    store.write(FOLDER / "outcome.json", b"{}")
    services.faults.add(fault, "GetObject")
    with pytest.raises(Unavailable):
        store.read(FOLDER / "outcome.json")
    services.faults.expect_met(fault)
    store.remove(FOLDER)


@pytest.mark.parametrize("fault", [Fault.FOREIGN_ANSWER, Fault.BODY_CUT])
@pytest.mark.parametrize("call", ["ListObjectsV2", "DeleteObjects"])
def test_a_folder_is_removed_or_is_said_to_stay(services: Services, store: Store, call: str, fault: Fault) -> None:
    for name in ("a", "b/c"):
        store.write(FOLDER / name, b"")
    services.faults.add(fault, call)
    try:
        store.remove(FOLDER)
    except Unavailable:
        services.faults.expect_met(fault)
        store.remove(FOLDER)
    assert _objects(services) == []


def test_a_folder_of_many_objects_is_removed(services: Services, store: Store) -> None:
    s3 = clients(services)("s3")
    for number in range(1100):
        s3.put_object(Bucket=BUCKET, Key=f"storage/{number:04}", Body=b"")
    store.remove(FOLDER)
    assert _objects(services) == []


def test_objects_that_stay_though_s3_says_nothing_are_an_error(services: Services, store: Store) -> None:
    store.write(FOLDER / "a", b"")
    services.faults.add(Fault.FOREIGN_ANSWER, "DeleteObjects", times=None)
    with pytest.raises(Unavailable, match="storage: "):
        store.remove(FOLDER)
    services.faults.clear()
    store.remove(FOLDER)
    assert _objects(services) == []


def _objects(services: Services) -> list[str]:
    found = clients(services)("s3").list_objects_v2(Bucket=BUCKET, Prefix="storage/")
    return [item["Key"] for item in found.get("Contents", ())]
