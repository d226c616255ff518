"""What datasets are: files of a format, tables of a database, or what is not reached from here; and how a Copy can be done."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from airflow_ml_provider.adf.fields import bag, pick
from airflow_ml_provider.adf.model import Activity, Json, Resource
from airflow_ml_provider.adf.support.column_mappings import has_mapping
from airflow_ml_provider.core.errors import SpecError

BINARY = "binary"
REST = "restresource"
EXCEL = "excel"
FORMATS = ("avro", BINARY, "delimitedtext", EXCEL, "json", "orc", "parquet", "xml")
_LEGACY = {
    "textformat": "delimitedtext",
    "jsonformat": "json",
    "parquetformat": "parquet",
    "orcformat": "orc",
    "avroformat": "avro",
}
READ_BY_ROWS = frozenset({"delimitedtext", EXCEL, "json", "orc", "parquet"})
"""Formats that a worker reads row by row."""
_WRITTEN_BY_ROWS = frozenset({"delimitedtext", "json", "parquet"})
_ONLY_READ = frozenset({EXCEL, "xml"})
_LEGACY_TYPES = frozenset({"amazons3object", "azureblob", "azureblobfsfile", "azuredatalakestorefile", "azurefile", "fileshare"})
_TABLES = (
    *("amazonrdsfororacle", "amazonrdsforsqlserver", "amazonredshift", "azuremysql", "azurepostgresql", "azuresql", "azuresqldw"),
    *("azuresqlmi", "db2", "googlebigquery", "greenplum", "hive", "impala", "mariadb", "mysql", "odbc", "oracle", "postgresql"),
    *("postgresqlv2", "presto", "relational", "saphana", "snowflake", "snowflakev2", "spark", "sqlserver", "teradata", "vertica"),
)
_SHAPES = {
    "delimitedtext": (
        *("columnDelimiter", "rowDelimiter", "quoteChar", "escapeChar", "firstRowAsHeader", "encodingName", "nullValue"),
        "compressionCodec",
    ),
    "json": ("encodingName", "compression"),
    "parquet": ("compressionCodec",),
    "orc": ("orcCompressionCodec",),
    "avro": ("avroCompressionCodec",),
}
"""Per format, what of a dataset changes the bytes of its files."""
_ELSEWHERE = {"ftpserverlocation": "FTP"}
_NOT_SPARKS = "sftplocation"


class Role(StrEnum):
    """What a dataset is."""

    FILES = "files"
    HTTP = "http"
    REST = "rest"
    TABLE = "table"


class Way(StrEnum):
    """How a Copy is done: file by file, by Spark, or row by row in the task."""

    BYTES = "bytes"
    DOWNLOAD = "download"
    SPARK = "spark"
    ROWS = "rows"


def kind_of(kind: str, properties: Mapping[str, Json]) -> str:
    """A dataset's format or type, in lower case; of a dataset from before formats had types, its format."""
    if kind.casefold() in FORMATS or not is_legacy(kind, properties):
        return kind.casefold()
    shape = pick(properties, "format")
    return _LEGACY.get(str(pick(shape, "type")).casefold(), BINARY) if isinstance(shape, Mapping) else BINARY


def is_legacy(kind: str, properties: Mapping[str, Json]) -> bool:
    """Whether it is a dataset of files from before they had a location."""
    if pick(properties, "location") is not None:
        return False
    return kind.casefold() in _LEGACY_TYPES or any(pick(properties, key) is not None for key in ("folderPath", "fileName"))


def schema_columns(properties: Mapping[str, Json]) -> tuple[str, ...]:
    """The columns that a dataset's ``schema`` or ``structure`` names: a list of columns, or a JSON schema."""
    for key in ("schema", "structure"):
        found = pick(properties, key)
        if isinstance(found, Mapping):
            return tuple(map(str, bag(bag(found, "items") or found, "properties")))
        if isinstance(found, list) and found:
            return tuple(str(pick(one, "name")) for one in found if isinstance(one, Mapping) and pick(one, "name"))
    return ()


def by_rows(source: str, sink: str) -> bool:
    """Whether a task can convert files of one format to another one by itself."""
    return source in READ_BY_ROWS and sink in _WRITTEN_BY_ROWS


def role(dataset: Resource) -> Role:
    """What a dataset is; :class:`SpecError` for what is not reached from here."""
    kind = kind_of(dataset.type, dataset.type_properties)
    place, where = pick(dataset.type_properties, "location"), _where(dataset)
    if where in _ELSEWHERE:
        raise SpecError(f"dataset {dataset.name!r}: location: {_ELSEWHERE[where]} is not reached by a mount")
    if kind in FORMATS and not isinstance(place, Mapping) and not is_legacy(dataset.type, dataset.type_properties):
        raise SpecError(f"dataset {dataset.name!r}: location: is required for a dataset of files")
    if kind in FORMATS:
        return Role.HTTP if where == "httpserverlocation" else Role.FILES
    if kind == REST:
        return Role.REST
    if kind.removesuffix("table").removesuffix("object") in _TABLES:
        return Role.TABLE
    raise SpecError(f"dataset {dataset.name!r}: {dataset.type}: it is neither files that Spark reads nor a table of a database")


def way(activity: Activity, source: Resource, sink: Resource) -> Way:
    """How a Copy is done.

    :raises SpecError: it cannot be done here.
    """
    here, there = role(source), role(sink)
    one, other = (kind_of(found.type, found.type_properties) for found in (source, sink))
    if there in (Role.HTTP, Role.REST):
        raise SpecError(f"dataset {sink.name!r}: {sink.type}: nothing is written by HTTP")
    if here is Role.HTTP and there is Role.FILES and (one == other or BINARY in (one, other)):
        return Way.DOWNLOAD
    if here is there is Role.FILES:
        return _of_files(activity, source, sink)
    for kind, place, known in ((one, here, READ_BY_ROWS), (other, there, _WRITTEN_BY_ROWS)):
        if place is Role.HTTP or (place is Role.FILES and kind not in known):
            raise SpecError(
                f"a Copy between {source.type} and {sink.type} does not run here: convert with a Copy to {_fix(known)} first"
            )
    return Way.ROWS


def _fix(known: frozenset[str]) -> str:
    return ", ".join(sorted(known - _ONLY_READ))


def _of_files(activity: Activity, source: Resource, sink: Resource) -> Way:
    one, other = (kind_of(found.type, found.type_properties) for found in (source, sink))
    if BINARY in (one, other):
        return Way.BYTES
    if other in _ONLY_READ:
        raise SpecError(f"dataset {sink.name!r}: {sink.type} files are only read")
    if one == EXCEL:
        return _by_rows(source, sink)
    asked = bag(activity.type_properties, "source")
    bends = has_mapping(pick(activity.type_properties, "translator")) or bool(pick(asked, "additionalColumns"))
    merges = _behavior(activity) == "mergefiles"
    if one == other and not bends and not merges and _shape(one, source) == _shape(one, sink):
        return Way.BYTES
    return _by_rows(source, sink) if _NOT_SPARKS in (_where(source), _where(sink)) else Way.SPARK


def _where(dataset: Resource) -> str:
    """The type of a dataset's location, in lower case."""
    place = pick(dataset.type_properties, "location")
    return str(pick(place, "type")).casefold() if isinstance(place, Mapping) else ""


def _by_rows(source: Resource, sink: Resource) -> Way:
    if by_rows(*(kind_of(one.type, one.type_properties) for one in (source, sink))):
        return Way.ROWS
    fix = f"convert with a Copy to {_fix(_WRITTEN_BY_ROWS)} first"
    raise SpecError(f"a Copy between {source.type} and {sink.type} does not run here: {fix}")


def _behavior(activity: Activity) -> str:
    sink = bag(activity.type_properties, "sink")
    return str(pick(bag(sink, "storeSettings"), "copyBehavior") or pick(sink, "copyBehavior") or "").casefold()


def _shape(kind: str, dataset: Resource) -> list[Json]:
    return [pick(dataset.type_properties, key) for key in _SHAPES.get(kind, ())]
