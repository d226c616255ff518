"""Names of things: handles and tokens."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.identity import Work, prior_tries

WORK = Work(dag_id="d", run_id="r", run_after="2026-01-01T00:00:00+00:00", task_id="t", map_index=-1, epoch=2)


@pytest.mark.parametrize(
    ("handle", "text"),
    [
        (Handle("local", "spark_cluster_default", "c-1"), "local://spark_cluster_default/c-1"),
        (Handle("emr", "aws", "j-2AX", "s-3Y"), "emr://aws/j-2AX/s-3Y"),
        (Handle("emr-eks", "a/b c", "x:y/z", "100%"), "emr-eks://a%2Fb%20c/x%3Ay%2Fz/100%25"),
        (Handle("local", "é", "ü"), "local://%C3%A9/%C3%BC"),
    ],
)
def test_a_handle_is_read_back(handle: Handle, text: str) -> None:
    assert str(handle) == text
    assert Handle.parse(text) == handle


@pytest.mark.parametrize(
    "text", ["", "local", "local://", "local://conn", "local://conn/", "local://c/x/", "local://c/x/y/z", "Local://c/x", None, 5]
)
def test_what_is_no_handle(text: Any) -> None:
    with pytest.raises(SpecError, match=re.escape(f"handle: got {text!r}: takes backend://connection/cluster")):
        Handle.parse(text)


def test_a_job_has_its_clusters_handle() -> None:
    cluster = Handle("local", "conn", "c")
    job = cluster.with_job("j")
    assert (job.job, job.of_cluster) == ("j", cluster)


def test_a_token_is_the_same_for_every_try() -> None:
    assert WORK.token() == replace(WORK, prior_tries=3).token()
    assert re.fullmatch(r"[0-9a-f]{24}", WORK.token())


@pytest.mark.parametrize(
    "change",
    [{"dag_id": "x"}, {"run_id": "x"}, {"run_after": "x"}, {"task_id": "x"}, {"map_index": 0}, {"epoch": 3}],
    ids=lambda change: next(iter(change)),
)
def test_anything_else_makes_another_token(change: dict[str, Any]) -> None:
    assert replace(WORK, **change).token() != WORK.token()


def test_each_generation_has_its_token() -> None:
    assert len({WORK.token(generation) for generation in range(5)}) == 5


def test_names_cannot_run_into_each_other() -> None:
    assert replace(WORK, dag_id="a", run_id="bc").token() != replace(WORK, dag_id="ab", run_id="c").token()


@pytest.mark.parametrize(
    ("try_number", "max_tries", "retries", "before"),
    [
        (1, 0, 0, 0),
        (1, 2, 2, 0),
        (2, 2, 2, 1),
        (3, 2, 2, 2),
        (2, 1, 0, 0),  # cleared after one try
        (3, 4, 2, 0),  # cleared after two tries of three
        (4, 4, 2, 1),
        (1, 0, 3, 0),  # retries raised while it ran
        (2, 0, 3, 1),
        (0, 0, 0, -1),
    ],
)
def test_tries_since_the_last_clear(try_number: int, max_tries: int, retries: int, before: int) -> None:
    assert prior_tries(try_number=try_number, max_tries=max_tries, retries=retries) == before
