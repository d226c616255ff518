"""Excel sheets as sources: which cells a dataset means, and Copies and Lookups of them."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.excel import rows_of_sheet
from airflow_ml_provider.core.errors import SpecError
from tests.airflow.conftest import Run
from tests.airflow.test_adf_activities import activity, copied, dataset, lake, pipeline
from tests.airflow.test_adf_control import check
from tests.airflow.test_adf_semantics import after

__all__ = ["lake", "pipeline"]


def book(path: Path, *rows: list[Any], title: str = "Days", at: tuple[int, int] = (1, 1)) -> None:
    """A workbook whose second sheet has these rows from a cell on."""
    made = Workbook()
    sheet = made.create_sheet(title)
    for number, row in enumerate(rows, at[0]):
        for column, value in enumerate(row, at[1]):
            sheet.cell(number, column, value)
    made.save(path)


def rows(lake: Path, name: str = "in.xlsx", **properties: Any) -> list[dict[str, Any]]:
    place = Store("in", "excel", "the_lake", {"location": {"fileName": name}, "sheetName": "days", **properties})
    return list(rows_of_sheet(place, f"the_lake/{name}", {}))


TABLE = [["day", "rows", None], ["monday", 3, "x"], [None, None, None], ["tuesday", 4.5, None]]


@pytest.mark.parametrize(
    ("area", "found"),
    [
        ("", [["day", "rows", None], ["monday", "3", "x"], [None, None, None], ["tuesday", "4.5", None]]),
        ("C4", [["monday", "3", "x"], [None, None, None], ["tuesday", "4.5", None]]),
        ("$C$3:D4", [["day", "rows"], ["monday", "3"]]),
        ("D4:D4", [["3"]]),
        ("A1:B1", [[None, None]]),
        ("J20", []),
    ],
)
def test_a_range_is_a_table_a_cell_or_all_below_a_cell(lake: Path, area: str, found: list[Any]) -> None:
    book(lake / "in.xlsx", *TABLE, at=(3, 3))
    assert [list(row.values()) for row in rows(lake, range=area)] == found


def test_values_are_texts(lake: Path) -> None:
    values = [1, 1.5, 1e20, True, "1", date(2024, 5, 6), datetime(2024, 5, 6, 7, 8), time(9, 30), "NA", None, "x"]  # noqa: DTZ001  Excel has no zones
    book(lake / "in.xlsx", values)
    (row,) = rows(lake, nullValue="NA")
    texts = ["1", "1.5", "1e+20", "TRUE", "1", "2024-05-06", "2024-05-06T07:08:00", "09:30:00", None, None, "x"]
    assert list(row.values()) == texts
    assert list(row)[:2] == ["Prop_0", "Prop_1"]


def test_headers_and_sheets(lake: Path) -> None:
    book(lake / "in.xlsx", *TABLE)
    header = {"firstRowAsHeader": True, "range": "A1:C2"}
    assert rows(lake, **header) == [{"day": "monday", "rows": "3", "Prop_2": "x"}]
    assert rows(lake, **header, sheetName=None, sheetIndex=1) == rows(lake, **header)
    assert rows(lake, sheetName="", sheetIndex="0") == []
    for wrong, told in (
        ({"sheetName": "nights"}, "sheetName: got 'nights': takes one of 'Sheet', 'Days'"),
        ({"sheetName": None, "sheetIndex": 2}, "sheetIndex: got 2: takes one of"),
        ({"sheetName": None}, "takes one of the two, the index from 0"),
        ({"range": "3A"}, "range: got '3A': takes one such as A3 or A3:H5"),
        ({"compression": {"type": "snappy"}}, "takes gzip or bzip2"),
    ):
        with pytest.raises(SpecError, match=told):
            rows(lake, **wrong)
    book(lake / "twice.xlsx", ["a", "a"])
    with pytest.raises(SpecError, match="got the column 'a' twice"):
        rows(lake, "twice.xlsx", firstRowAsHeader=True)
    (lake / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(SpecError, match=r"it is no workbook of the form \.xlsx"):
        rows(lake, "old.xls")


def test_a_packed_workbook(lake: Path) -> None:
    book(lake / "in.xlsx", ["a"])
    packed = io.BytesIO(gzip.compress((lake / "in.xlsx").read_bytes()))
    (lake / "in.xlsx.gz").write_bytes(packed.getvalue())
    assert rows(lake, "in.xlsx.gz", compression={"type": "gzip"}) == [{"Prop_0": "a"}]


def test_copies_and_lookups_of_a_sheet(pipeline: Callable[..., Run], tmp_path: Path, lake: Path) -> None:
    book(lake / "in.xlsx", ["day", "rows"], ["monday", 3], ["tuesday", 4])
    folder, header = tmp_path / "dataset", {"firstRowAsHeader": True}
    sheet = {"sheetName": "Days", **header}
    source = dataset(folder, "in", "Excel", "the lake", location={"fileName": "in.xlsx"}, **sheet)
    text = dataset(folder, "out", "DelimitedText", "the lake", location={"folderPath": "out", "fileName": "out.csv"}, **header)
    table = dataset(folder, "rows", "AzureSqlTable", "the db", table="days")
    mapping = {"mappings": [{"source": {"name": "day"}, "sink": {"name": "d"}}], "type": "TabularTranslator"}
    done = pipeline(
        "sheets",
        copied("text", source, text, translator=mapping),
        copied("table", source, table, sink={"type": "AzureSqlSink", "tableOption": "autoCreate"}),
        activity("facts", "GetMetadata", dataset=source, fieldList=["exists", "structure", "columnCount"]),
        activity("first", "Lookup", dataset=source),
        activity("all", "Lookup", after("table"), dataset=table, firstRowOnly=False),
    )
    check(done)
    assert (lake / "out" / "out.csv").read_text() == "d\nmonday\ntuesday\n"
    assert done.xcom("first", "adf_record")["output"]["firstRow"] == {"day": "monday", "rows": "3"}
    assert done.xcom("all", "adf_record")["output"]["value"] == [{"day": "monday", "rows": "3"}, {"day": "tuesday", "rows": "4"}]
    assert done.xcom("facts", "adf_record")["output"]["columnCount"] == 2
