"""Far more documents and expressions than ``make test`` has time for; the seed is hypothesis' own, and printed when one fails."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ml_provider.adf.errors import DocumentError, ExpressionError
from airflow_ml_provider.adf.expressions import evaluate
from airflow_ml_provider.adf.lenient import read_json
from tests.unit.adf.test_expressions import STATE, TEXTS

pytestmark = pytest.mark.soak
_LONG = settings(max_examples=20_000, database=None, deadline=None, print_blob=True)


@_LONG
@given(TEXTS)
def test_expressions(text: str) -> None:
    for written in (text, f"@{text}", f"a@{{{text}}}"):
        with contextlib.suppress(ExpressionError):
            evaluate(written, STATE)


@_LONG
@given(st.binary(max_size=200))
def test_files(data: bytes) -> None:
    with contextlib.suppress(DocumentError):
        read_json(data)
