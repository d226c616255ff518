"""A secret shows in no way that somebody prints it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import pytest

from airflow_ml_provider.runners.notebook.cells import Cell
from airflow_ml_provider.runners.notebook.document import Ran, redact
from airflow_ml_provider.runners.notebook.outputs import Recorder
from airflow_ml_provider.runners.notebook.redaction import MASK, Redactor

CANARY = "kanarie-40c2-Xylofoon"
WAYS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a sentence": lambda s: f"the key is {s}, keep it",
    "upper": str.upper,
    "reversed": lambda s: s[::-1],
    "one a line": "\n".join,
    "with commas": ", ".join,
    "numbered": lambda s: "\n".join(f"{i} {c}" for i, c in enumerate(s)),
    "repr of a list": lambda s: repr(list(s)),
    "halves with words between": lambda s: f"first {s[:10]} and then {s[10:]}",
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 of a pair": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "table": lambda s: "".join(f"<td>{c}</td>" for c in s),
}


def pieces(text: str) -> bool:
    """Whether a piece of six letters of the canary is left, whatever stands between them."""
    letters = "".join(c for c in text.replace("td", "").lower() if c.isalpha())
    whole = "".join(c for c in CANARY.lower() if c.isalpha())
    return any(order[at : at + 6] in letters for order in (whole, whole[::-1]) for at in range(len(order) - 5))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_in_whole_texts(way: Callable[[str], str]) -> None:
    text = Redactor([CANARY])(way(CANARY))
    assert MASK in text
    assert not pieces(text)


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_in_a_log_that_is_written_in_pieces(way: Callable[[str], str], step: int) -> None:
    log = io.StringIO()
    recorder = Recorder(Redactor([CANARY]), log)
    shown = f"before\n{way(CANARY)}\nafter\n"
    for at in range(0, len(shown), step):
        recorder.text("stdout", shown[at : at + step])
    recorder.finish()
    assert MASK in log.getvalue()
    assert not pieces(log.getvalue())
    assert log.getvalue().startswith("before\n")
    assert log.getvalue().endswith("after\n")


def test_across_cells_and_in_errors() -> None:
    cells = [Ran(Cell("python", "", ""), [{"output_type": "stream", "name": "stdout", "text": c}]) for c in CANARY]
    cells[-1].outputs.append({"output_type": "error", "ename": "E", "evalue": CANARY, "traceback": ["a", f"E: {CANARY}"]})
    redact(cells, Redactor([CANARY]))
    assert not pieces("".join(str(list(output.values())) for ran in cells for output in ran.outputs).replace("stdout", ""))


def test_ordinary_text_stays_and_short_secrets_are_not_looked_for() -> None:
    redactor = Redactor([CANARY, "abc"])
    assert redactor("a canary sang; abc") == "a canary sang; abc"
    assert not Redactor([]).active
    assert Redactor(["pw12"])("it is pw12.") == f"it is {MASK}."
    assert Redactor(["#!%&"])("it is #!%&.") == f"it is {MASK}."
