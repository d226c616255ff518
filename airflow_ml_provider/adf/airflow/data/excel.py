"""Sheets of Excel workbooks as rows. Values are texts, or None, as Data Factory has them in the datasets of this type."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from zipfile import BadZipFile, ZipFile

from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.size_limits import Counted, read_all
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.support.file_formats import codec_of
from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.filesystems.mount import MountFileSystem

Row = dict[str, Any]
_CODECS = {"": None, "none": None, "gzip": "gzip", "bzip2": "bz2"}
_RANGE = re.compile(r"\$?([A-Z]{1,3})\$?([1-9]\d{0,6})(?::\$?([A-Z]{1,3})\$?([1-9]\d{0,6}))?", re.IGNORECASE)


@dataclass(frozen=True)
class Area:
    """A part of a sheet, from 1; ``None`` where it goes as far as there are values.

    :param top: None for the first row with a value; the same for ``left``.
    """

    top: int | None = None
    left: int | None = None
    bottom: int | None = None
    right: int | None = None


def area_of(text: Any) -> Area:
    """A dataset's ``range``: nothing, ``A3`` for all below and to the right of it, or ``A3:H5``; :class:`SpecError` for another."""
    if text in (None, ""):
        return Area()
    found = _RANGE.fullmatch(str(text).strip())
    if found is None:
        raise SpecError(f"range: got {text!r}: takes one such as A3 or A3:H5")
    left, top, right, bottom = found.groups()
    last = (int(bottom), _number(right)) if right else (None, None)
    return Area(int(top), _number(left), *last)


def rows_of_sheet(place: Store, file: str, settings: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of a dataset's sheet.

    :raises SpecError: the workbook has no such sheet, or the header has a name twice.
    """
    area, null = area_of(pick(place.properties, "range")), str(pick(place.properties, "nullValue") or "")
    with closing(_opened(place, file)) as book:
        sheet = _sheet(place, book)
        sheet.reset_dimensions()  # some programs write that a sheet ends before it does
        lines = _lines(sheet, area)
        names = _names(place, next(lines, [])) if pick(place.properties, "firstRowAsHeader") is True else None
        for line in lines:
            known = names or [f"Prop_{number}" for number in range(len(line))]
            yield dict(zip(known, (None if text in ("", null) else text for text in line), strict=False))


def _refuse_bomb(place: Store, content: io.BytesIO) -> None:
    """Fail for a workbook that would fill the memory: it is a ZIP archive, whose parts are never longer than it says."""
    counted = Counted(f"dataset {place.name!r}: the unpacked workbook", "adf_max_workbook_mib")
    with ZipFile(content) as parts:
        for part in parts.infolist():
            counted.add(part.file_size)


def _opened(place: Store, file: str) -> Any:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        fix = 'pip install "airflow-ml-provider[excel]"'
        raise ConfigurationError(f"Excel files need openpyxl on the worker ({error}): {fix}") from error
    codec = codec_of(place.kind, place.properties)
    if codec not in _CODECS:
        raise SpecError(f"dataset {place.name!r}: compression: got {codec!r}: takes gzip or bzip2")
    with MountFileSystem().open(file, "rb", compression=_CODECS[codec]) as stream:
        content = io.BytesIO(read_all(stream, Counted(f"dataset {place.name!r}: the workbook", "adf_max_workbook_mib")))
    try:
        _refuse_bomb(place, content)
        return load_workbook(content, read_only=True, data_only=True)
    except (InvalidFileException, BadZipFile, OSError, KeyError, ValueError, SyntaxError) as error:
        raise SpecError(f"dataset {place.name!r}: {file}: it is no workbook of the form .xlsx: save it as one") from error


def _sheet(place: Store, book: Any) -> Any:
    name, index = pick(place.properties, "sheetName"), pick(place.properties, "sheetIndex")
    if name not in (None, ""):
        found = next((one for one in book.worksheets if one.title.casefold() == str(name).casefold()), None)
    elif str(index).isdecimal():
        found = dict(enumerate(book.worksheets)).get(int(index))
    else:
        raise SpecError(f"dataset {place.name!r}: sheetName, sheetIndex: takes one of the two, the index from 0")
    if found is None:
        takes = ", ".join(repr(one.title) for one in book.worksheets)
        raise SpecError(
            f"dataset {place.name!r}: {'sheetName' if name else 'sheetIndex'}: got {name or index!r}: takes one of {takes}"
        )
    return found


def _lines(sheet: Any, area: Area) -> Iterator[list[str]]:
    """The texts of an area, its rows of one length; empty cells are empty."""
    bounds = _bounds(sheet, area)
    if bounds is None:
        return
    top, left, bottom, right = bounds
    for cells in sheet.iter_rows(top, bottom, left, right, values_only=True):
        line = [_text(value) for value in cells]
        yield line + [""] * (right - left + 1 - len(line))


def _bounds(sheet: Any, area: Area) -> tuple[int, int, int, int] | None:
    """An area with its ends; None when it has no value."""
    if area.top and area.left and area.bottom and area.right:
        return area.top, area.left, area.bottom, area.right
    rows: list[int] = []
    columns: set[int] = set()
    for number, cells in enumerate(sheet.iter_rows(area.top or 1, None, area.left or 1, None, values_only=True), area.top or 1):
        filled = [column for column, value in enumerate(cells, area.left or 1) if value not in (None, "")]
        if filled:
            rows = [rows[0] if rows else number, number]
            columns |= {filled[0], filled[-1]}
    if not rows:
        return None
    return area.top or rows[0], area.left or min(columns), rows[1], max(columns)


def _names(place: Store, header: list[str]) -> list[str]:
    names = [text or f"Prop_{number}" for number, text in enumerate(header)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SpecError(f"dataset {place.name!r}: firstRowAsHeader: got the column {twice!r} twice: takes names that differ")
    return names


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _number(letters: str) -> int:
    """A column's number: A is 1."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number
