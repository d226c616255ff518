"""Rows of files and tables, one after the other: no more than a batch of them is ever in memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice, zip_longest
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, time_limit
from airflow_ml_provider.adf.airflow.data.dataset_places import Store
from airflow_ml_provider.adf.airflow.data.excel import rows_of_sheet
from airflow_ml_provider.adf.airflow.data.json_values import plain
from airflow_ml_provider.adf.airflow.data.row_columns import BATCH, Row, Table, aligned
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import HALF_A_DAY
from airflow_ml_provider.adf.support.column_mappings import Column
from airflow_ml_provider.adf.support.file_formats import Dialect, codec_of, dialect
from airflow_ml_provider.core.errors import ConfigurationError, SpecError
from airflow_ml_provider.filesystems.mount import MountFileSystem

_CODECS = {"": None, "none": None, "gzip": "gzip", "bzip2": "bz2"}


def of_files(place: Store, files: Sequence[str], settings: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of files of one dataset; values of delimited text are texts, or None.

    :param files: without their scheme.
    :param settings: ``formatSettings``.
    """
    if place.kind not in _READERS:
        raise SpecError(f"dataset {place.name!r}: {place.kind}: rows are read of {', '.join(_READERS)} files")
    data = [file for file in files if not file.rpartition("/")[2].startswith(("_", "."))]  # the others are Spark's own notes
    for file in data or files:
        yield from _READERS[place.kind](place, file, settings)


def to_file(place: Store, path: str, rows: Iterable[Row], settings: Mapping[str, Any], known: Sequence[str] = ()) -> int:
    """Write a file of a dataset's format, and return how many rows it has. It is there only once it is whole.

    :param known: the columns, where a translator or a schema names them; see :func:`~airflow_ml_provider.adf.airflow.data.row_columns.aligned`.
    """
    if place.kind not in _WRITERS:
        raise SpecError(f"dataset {place.name!r}: {place.kind}: rows are written to {', '.join(_WRITERS)} files")
    filesystem, (folder, _, name) = MountFileSystem(), path.rpartition("/")
    filesystem.makedirs(folder, exist_ok=True)
    scratch = f"{folder}/_adf_{name}"
    try:
        count = _WRITERS[place.kind](place, scratch, aligned(rows, known), settings)
    except BaseException:
        if filesystem.exists(scratch):
            filesystem.rm(scratch)
        raise
    filesystem.mv(scratch, path)
    return count


def of_query(
    hook: Any, text: str, values: Sequence[Any] = (), *, timeout: float | None = None, isolation: str = ""
) -> Iterator[Row]:
    """The rows of a query, as JSON has values, fetched as they are asked for.

    :param timeout: seconds for the query itself, as ``queryTimeout`` has it.
    :param isolation: a statement before it.
    """
    with closing(hook.get_conn()) as connection, closing(connection.cursor()) as cursor:
        if isolation:
            cursor.execute(isolation)
        with time_limit(timeout or HALF_A_DAY, "queryTimeout"):
            cursor.execute(text, tuple(values)) if values else cursor.execute(text)
        names = [column[0] for column in cursor.description or ()]
        while names and (batch := cursor.fetchmany(BATCH)):
            yield from (dict(zip(names, row, strict=True)) for row in batch)


def shaped(rows: Iterable[Row], columns: Sequence[Column], more: Mapping[str, Any], *, nested: bool = False) -> Iterator[Row]:
    """The rows with the columns that a translator names, all where it names none, and more with one value each.

    :param nested: rows are JSON objects, which may lack a property: it is None then.
    """
    for row in rows:
        try:
            kept = {one.sink: row.get(one.source) if nested else row[one.source] for one in columns} if columns else row
        except KeyError as error:
            raise SpecError(f"translator.mappings: got the column {error}: takes {', '.join(map(repr, row))}") from None
        yield {**kept, **more}


def _delimited(place: Store, file: str, settings: Mapping[str, Any]) -> Iterator[Row]:
    asked = dialect(place.properties, settings)
    with _text(place, file, asked) as stream:
        for _ in range(asked.skip):
            stream.readline()
        lines = csv.reader(stream, **_csv(asked))
        names = next(lines, []) if asked.header else None
        for line in filter(None, lines):
            names = names or [f"Prop_{number}" for number in range(len(line))]
            if len(line) > len(names):
                fix = (
                    f"line {lines.line_num} has {len(line)} values for {len(names)} columns: check columnDelimiter and quoteChar"
                )
                raise ActivityFailed(f"dataset {place.name!r}: {file}: {fix}", "DelimitedTextMoreColumnsThanDefined")
            yield dict(zip_longest(names, (None if value == asked.null else value for value in line)))


def _csv(asked: Dialect) -> dict[str, Any]:
    doubled = asked.escape in ("", asked.quote)
    quoting = (csv.QUOTE_ALL if asked.quote_all else csv.QUOTE_MINIMAL) if asked.quote else csv.QUOTE_NONE
    return {
        "delimiter": asked.delimiter,
        "quotechar": asked.quote or None,
        "escapechar": None if doubled else asked.escape,
        "doublequote": doubled,
        "quoting": quoting,
    }


def _json(place: Store, file: str, settings: Mapping[str, Any]) -> Iterator[Row]:
    """Objects one to a line, one after the other, or in a list."""
    with _text(place, file, Dialect(encoding=str(pick(place.properties, "encodingName") or "utf-8"))) as stream:
        first = stream.readline()
        try:
            found = json.loads(first) if first.strip() else None
        except ValueError:
            found = None
        if isinstance(found, dict):
            yield from (json.loads(line) for line in chain([first], stream) if line.strip())
            return
        yield from _documents(first + stream.read())


def _documents(text: str) -> Iterator[Row]:
    decoder, at = json.JSONDecoder(), 0
    text = text.strip().lstrip("\ufeff")
    while at < len(text):
        found, at = decoder.raw_decode(text, at)
        yield from found if isinstance(found, list) else [found]
        while at < len(text) and text[at].isspace():
            at += 1


def _columnar(place: Store, file: str, settings: Mapping[str, Any]) -> Iterator[Row]:
    with MountFileSystem().open(file, "rb") as stream:
        if place.kind == "parquet":
            batches = arrow("parquet").ParquetFile(stream).iter_batches(BATCH)
        else:
            table = arrow("orc").ORCFile(stream)
            batches = (table.read_stripe(number) for number in range(table.nstripes))
        for batch in batches:
            yield from batch.to_pylist()


def _write_delimited(place: Store, path: str, table: Table, settings: Mapping[str, Any]) -> int:
    asked = dialect(place.properties, settings)
    with _text(place, path, asked, "wb") as stream:
        writer, count = csv.DictWriter(stream, table.names, lineterminator=asked.line, **_csv(asked)), 0
        if asked.header and table.names:
            writer.writeheader()
        for row in table.rows:
            writer.writerow({name: asked.null if value is None else _cell(value) for name, value in row.items()})
            count += 1
    return count


def _cell(value: Any) -> Any:
    found = plain(value)
    return json.dumps(found) if isinstance(found, dict | list) else found


def _write_json(place: Store, path: str, table: Table, settings: Mapping[str, Any]) -> int:
    listed = str(pick(settings, "filePattern") or "").casefold() == "arrayofobjects"
    with _text(place, path, Dialect(), "wb") as stream:
        count = 0
        for row in table.rows:
            stream.write(("[" if not count else ",\n") if listed else "")
            stream.write(json.dumps({name: plain(value) for name, value in row.items()}) + ("" if listed else "\n"))
            count += 1
        stream.write(("]" if count else "[]") if listed else "")
    return count


def _write_parquet(place: Store, path: str, table: Table, settings: Mapping[str, Any]) -> int:
    """The first batch's types are the file's; a column that is empty in it is text."""
    parquet, count = arrow("parquet"), 0
    schema = _schema_of(table)
    codec = codec_of("parquet", place.properties) or "snappy"
    with MountFileSystem().open(path, "wb") as stream, parquet.ParquetWriter(stream, schema, compression=codec) as writer:
        while batch := list(islice(table.rows, BATCH)):
            columns = [_array([row[one.name] for row in batch], one.name, one.type) for one in schema]
            writer.write_table(arrow().Table.from_arrays(columns, schema=schema))
            count += len(batch)
    return count


def _schema_of(table: Table) -> Any:
    pyarrow = arrow()
    arrays = {name: _array([row[name] for row in table.sample], name) for name in table.names}
    types = [(name, pyarrow.string() if pyarrow.types.is_null(one.type) else one.type) for name, one in arrays.items()]
    return pyarrow.schema(types)


def _array(values: list[Any], name: str, kind: Any = None) -> Any:
    """One column's values, of a type that holds them all."""
    pyarrow = arrow()
    try:
        return pyarrow.array(values, kind)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise SpecError(f"column {name!r}: its values have no common type ({error}): give it one in the source") from error


def arrow(module: str = "") -> Any:
    """PyArrow, or one of its modules; :class:`ConfigurationError` where it is missing."""
    from importlib import import_module

    try:
        return import_module(f"pyarrow.{module}" if module else "pyarrow")
    except ImportError as error:
        fix = 'pip install "airflow-ml-provider[local]"'
        raise ConfigurationError(f"columnar files need pyarrow on the worker ({error}): {fix}") from error


@contextmanager
def _text(place: Store, path: str, asked: Dialect, mode: str = "rb") -> Iterator[Any]:
    """A file as text, unpacked and packed as its dataset says."""
    codec = codec_of(place.kind, place.properties)
    if codec not in _CODECS:
        raise SpecError(f"dataset {place.name!r}: compression: got {codec!r}: takes gzip, bzip2 or none for rows of text")
    with MountFileSystem().open(path, mode, compression=_CODECS[codec]) as raw:
        stream = io.TextIOWrapper(raw, encoding=_encoding(asked.encoding, mode), newline="")
        yield stream
        stream.flush()
        stream.detach()


def _encoding(name: str, mode: str) -> str:
    return "utf-8-sig" if name.casefold() in ("utf-8", "utf8") and mode == "rb" else name


_READERS = {"delimitedtext": _delimited, "excel": rows_of_sheet, "json": _json, "parquet": _columnar, "orc": _columnar}
_WRITERS = {"delimitedtext": _write_delimited, "json": _write_json, "parquet": _write_parquet}
