"""Far more documents and expressions than ``make test`` has time for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.errors import DocumentError, ExpressionError
from airflow_ml_provider.adf.export.lenient_json import read_json
from airflow_ml_provider.adf.expressions.evaluator import evaluate
from tests.seed import SEED
from tests.unit.adf.test_expressions import STATE, TEXTS
from tests.unit.adf.test_fuzz_documents import documents, judge_all

pytestmark = pytest.mark.soak
_LONG = settings(max_examples=20_000, database=None, deadline=None, print_blob=True)


@seed(SEED)
@_LONG
@given(TEXTS)
def test_expressions(text: str) -> None:
    for written in (text, f"@{text}", f"a@{{{text}}}"):
        with contextlib.suppress(ExpressionError):
            evaluate(written, STATE)


@seed(SEED)
@_LONG
@given(st.binary(max_size=200))
def test_files(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        read_json(data)


@seed(SEED)
@settings(_LONG, max_examples=5_000)
@given(st.lists(documents(), min_size=1, max_size=3))
def test_documents(given: list[tuple[str, dict[str, Any]]]) -> None:
    judge_all(given)


def test_by_coverage() -> None:
    pytest.importorskip("atheris")
    minutes = os.environ.get("SOAK_MINUTES", "5")
    options = [f"-max_total_time={int(float(minutes) * 60)}", f"-seed={crc32(SEED.encode())}", "-timeout=20", "-max_len=6000"]
    subprocess.run([sys.executable, "-m", "tests.soak.fuzz_adf", *options], check=True)
