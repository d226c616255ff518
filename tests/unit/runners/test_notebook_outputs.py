"""Every output of a notebook is bounded, and says what is left out."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from airflow_ml_provider.runners.notebook import outputs, tables
from airflow_ml_provider.runners.notebook.outputs import Recorder, bundle_of
from airflow_ml_provider.runners.notebook.redaction import MASK, Redactor
from airflow_ml_provider.runners.notebook.tables import table_bundle

SECRET = "kanarie-40c2-Xylofoon"


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def recorder(log: io.StringIO) -> Recorder:
    return Recorder(Redactor([SECRET]), log)


def size(taken: list[dict[str, Any]]) -> int:
    return len(json.dumps(taken))


def test_printed_text_is_bounded_in_the_page_and_whole_in_the_log(recorder: Recorder, log: io.StringIO) -> None:
    for _ in range(40):
        recorder.text("stdout", "x" * 100_000 + "\n")
        recorder.text("stderr", "y\n")
    taken = recorder.take()
    assert outputs.TEXT_OF_CELL <= size(taken) < outputs.TEXT_OF_CELL + 10_000
    assert "the first 1,048,576 characters of a cell: all of it is in the task's log" in taken[-1]["text"]
    assert log.getvalue().count("x") == 4_000_000
    recorder.text("stdout", "next cell\n")
    assert recorder.take() == [{"output_type": "stream", "name": "stdout", "text": "next cell\n"}]


def test_text_that_fits_exactly_and_a_secret_at_the_cut(recorder: Recorder) -> None:
    recorder.text("stdout", "x" * outputs.TEXT_OF_CELL)
    recorder.text("stdout", "more")
    (stream,) = recorder.take()
    assert "the task's log" in stream["text"]
    assert "more" not in stream["text"]
    recorder.text("stdout", "x" * (outputs.TEXT_OF_CELL - 5) + SECRET)
    assert SECRET[:4] not in recorder.take()[0]["text"]


def test_html_pictures_and_values_are_bounded(recorder: Recorder, log: io.StringIO) -> None:
    big = "x" * (outputs.LONGEST_OUTPUT + 1)
    recorder.data({"text/html": big}, said="(HTML)")
    recorder.data({"image/png": big, "text/plain": "<Figure>"})
    recorder.data({"application/json": {"rows": [big]}, "text/plain": SECRET})
    recorder.data({"text/plain": big})
    taken = recorder.take()
    assert size(taken) < outputs.LONGEST_OUTPUT + 10_000
    plain = [output["data"]["text/plain"] for output in taken]
    assert plain[0] == "(text/html of 4,194,305 characters: left out, the limit is 4,194,304)"
    assert plain[1].startswith("<Figure>\n(image/png of 4,194,305 characters: left out")
    assert "application/json" in plain[2]
    assert plain[3].endswith("(text/plain of 4,194,305 characters: left out, the limit is 4,194,304)")
    assert len(log.getvalue()) < 100_000


def test_the_number_of_outputs_of_a_cell_and_the_size_of_all_are_bounded(recorder: Recorder) -> None:
    for number in range(outputs.OUTPUTS_OF_CELL + 100):
        recorder.data({"text/plain": str(number)})
    taken = recorder.take()
    assert len(taken) == outputs.OUTPUTS_OF_CELL + 1
    assert "more outputs of this cell are left out" in taken[-1]["text"]
    total = 0
    for _ in range(20):  # one cell each
        recorder.data({"text/html": "x" * outputs.LONGEST_OUTPUT})
        recorder.text("stdout", "y" * 1_000_000)
        total += size(recorder.take())
    assert outputs.OUTPUTS_OF_NOTEBOOK * 0.9 < total < outputs.OUTPUTS_OF_NOTEBOOK + 20_000
    recorder.error("ValueError", "z" * 10_000_000, "line\n" * 10_000_000)
    (error,) = recorder.take()
    assert error["ename"] == "ValueError"
    assert size([error]) < outputs.LONGEST_OUTPUT


def test_tables_are_bounded() -> None:
    wide = [str(at) for at in range(tables.COLUMNS + 30)]
    table = table_bundle(wide, [wide] * 3, Redactor([]))
    assert table["text/html"].count("<td>") == 3 * tables.COLUMNS
    assert "The first 200 of 230 columns." in table["text/html"] and "The first 200 of 230 columns." in table["text/plain"]
    table = table_bundle(["a"], [["x"]] * (tables.ROWS + 1), Redactor([]))
    assert "The first 1,000 rows." in table["text/html"]
    assert "The first" not in table_bundle(["a"], [["x"]] * tables.ROWS, Redactor([]))["text/html"]
    table = table_bundle(["a" * 5000, "b"], [["x" * 5000, "y"]] * 1000, Redactor([]))
    assert "x" * tables.CELL + "…</td>" in table["text/html"]
    table = table_bundle(["a"] * 200, [["x" * 900] * 200] * 1000, Redactor([]))
    assert len(table["text/html"]) < tables.CHARACTERS + 300_000
    assert "The first 11 rows." in table["text/html"]


def test_a_secret_is_masked_before_a_cell_is_cut() -> None:
    cells = ["x" * (tables.CELL - at) + SECRET for at in range(len(SECRET) + 1)]
    table = table_bundle([SECRET], [[cell] for cell in cells], Redactor([SECRET]))
    assert f"<th>{MASK}</th>" in table["text/html"]
    assert SECRET[:2] not in table["text/html"] + table["text/plain"]


def test_text_in_a_picture_is_masked(recorder: Recorder) -> None:
    pyplot = pytest.importorskip("matplotlib.figure")
    figure = pyplot.Figure()
    axes = figure.subplots()
    axes.set_title(f"with {SECRET}")
    assert "image/png" in bundle_of(figure, recorder)
    assert axes.get_title() == f"with {MASK}"
