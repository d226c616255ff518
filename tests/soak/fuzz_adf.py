"""Data Factory documents and expressions fuzzed by their coverage: ``python -m tests.soak.fuzz_adf [libFuzzer's options]``.

Nothing but the named errors comes out; whatever else does is printed with the input that did it.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import PurePath

import atheris

with atheris.instrument_imports(include=["airflow_ml_provider.adf"]):
    from airflow_ml_provider.adf.errors import DocumentError, ExpressionError
    from airflow_ml_provider.adf.export.lenient_json import read_json
    from airflow_ml_provider.adf.export.loader import Gathered
    from airflow_ml_provider.adf.expressions.evaluator import evaluate
    from airflow_ml_provider.adf.report import as_json, connections_as_json

STATE = {
    "parameters": {"a": 1, "b": [1, "x", None], "c": {"d": True}},
    "variables": {"v": "w"},
    "item": {"x": 1.5},
    "activities": {"A": {"output": {"value": []}, "status": "Succeeded", "error": {}}},
}


def one_input(data: bytes) -> None:
    """The first byte says what the rest is: an expression, a document of any place, or a template."""
    kind, rest = data[:1] or b"\0", data[1:]
    if kind[0] % 2:
        text = rest.decode("utf-8", "replace")
        for written in (text, f"@{text}", f"a@{{{text}}}"):
            with contextlib.suppress(ExpressionError):
                evaluate(written, STATE)
        return
    with contextlib.suppress(DocumentError):
        document = read_json(rest)
        folder = ("pipeline", "trigger", "linkedService", "dataset")[kind[0] // 2 % 4]
        if isinstance(document, dict):
            gathered = Gathered()
            gathered.document(document, PurePath(folder, "it.json"), {})
            factory = gathered.factory()
            as_json(factory)
            connections_as_json(factory)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
