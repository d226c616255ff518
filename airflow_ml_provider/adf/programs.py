"""Spark activities as our programs and clusters: pure translations of type properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.graph import Json, Resource
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.core.errors import SpecError

_SUFFIXES = ("", ".py", ".ipynb", ".sql", ".scala")
Fields = dict[str, Any]


def program(activity_type: str, properties: Mapping[str, Json], folder: Path) -> Fields:
    """The fields of the program that an activity runs.

    :param properties: type properties with their values.
    :param folder: where the programs lie, under the paths that the activities name.
    :raises SpecError: a property is missing, or there is no such file.
    """
    return _PROGRAMS[activity_type.casefold()](properties, folder)


def cluster(service: Resource) -> Fields:
    """The fields of the cluster that a linked service makes for a run: ``newCluster*`` of Databricks, or HDInsight on demand.

    :raises SpecError: a number is an expression or no number.
    """
    bag = service.type_properties
    if service.type.casefold() == "hdinsightondemand":
        return _on_demand(service)
    size = str(pick(bag, "newClusterNumOfWorker") or "")
    low, _, high = size.partition(":")
    found: Fields = {"workers": _number(service, "newClusterNumOfWorker", low or 0)}
    if high:
        found["max_workers"] = _number(service, "newClusterNumOfWorker", high)
    for field, key in (("worker", "newClusterNodeType"), ("driver", "newClusterDriverNodeType")):
        if node := pick(bag, key):
            found[field] = {"instance_type": str(node)}
    for field, key in (
        ("spark_conf", "newClusterSparkConf"),
        ("env", "newClusterSparkEnvVars"),
        ("tags", "newClusterCustomTags"),
    ):
        if pairs := pick(bag, key):
            found[field] = {str(name): str(value) for name, value in pairs.items()}
    return found


def output(activity_type: str, result: Json) -> Json:
    """``activity('…').output`` of a program that handed back ``result``, where the activity's type has it."""
    if activity_type.casefold() == "synapsenotebook":
        return {"status": {"Output": {"result": {"exitValue": result}}}}
    return {"runOutput": result} if activity_type.casefold() in SPARK else result


def _on_demand(service: Resource) -> Fields:
    bag = service.type_properties
    found: Fields = {"workers": _number(service, "clusterSize", pick(bag, "clusterSize") or 1)}
    window = seconds_of(pick(bag, "timeToLive"))
    if window:
        found["idle_timeout"] = str(int(window))
    for field, key in (("driver", "headNodeSize"), ("worker", "dataNodeSize")):
        if isinstance(node := pick(bag, key), str):
            found[field] = {"instance_type": node}
    return found


def _number(service: Resource, field: str, value: Json) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise SpecError(f"linked service {service.name!r}: {field}: got {value!r}: takes a number") from None


def _notebook(properties: Mapping[str, Json], folder: Path) -> Fields:
    raw = pick(properties, "notebookPath") or pick(pick(properties, "notebook") or {}, "referenceName")
    given = pick(properties, "baseParameters") or pick(properties, "parameters") or {}
    values = {name: pick(one, "value") if isinstance(one, Mapping) and pick(one, "type") else one for name, one in given.items()}
    return {"kind": "notebook", "path": _file(folder, raw, "notebookPath"), "parameters": values}


def _python(properties: Mapping[str, Json], folder: Path) -> Fields:
    raw = pick(properties, "pythonFile")
    return {"kind": "python_file", "path": _file(folder, raw, "pythonFile"), "args": _args(pick(properties, "parameters"))}


def _jar(properties: Mapping[str, Json], folder: Path) -> Fields:
    libraries = pick(properties, "libraries") or ()
    jar = next((found for one in libraries if (found := pick(one, "jar"))), pick(properties, "jarUri"))
    name = str(pick(properties, "mainClassName") or "")
    return {
        "kind": "spark_jar",
        "jar": _file(folder, jar, "libraries"),
        "main_class": name,
        "args": _args(pick(properties, "parameters")),
    }


def _hdinsight(properties: Mapping[str, Json], folder: Path) -> Fields:
    raw = "/".join(str(part).strip("/") for key in ("rootPath", "entryFilePath") if (part := pick(properties, key)))
    args = _args(pick(properties, "arguments"))
    if raw.endswith(".jar"):
        return {
            "kind": "spark_jar",
            "jar": _file(folder, raw, "entryFilePath"),
            "main_class": str(pick(properties, "className")),
            "args": args,
        }
    return {"kind": "python_file", "path": _file(folder, raw, "entryFilePath"), "args": args, "api": "classic"}


def _args(raw: Json) -> list[str]:
    return [str(one) for one in raw] if isinstance(raw, Sequence) and not isinstance(raw, str) else []


def _file(folder: Path, raw: Json, field: str) -> str:
    """The file below ``folder`` that a path in a workspace or a store means, whatever its scheme and with or without a suffix."""
    if not isinstance(raw, str) or not raw:
        raise SpecError(f"{field}: got {raw!r}: takes a path")
    inside = raw.partition("://")[2].partition("/")[2] if "://" in raw else raw.removeprefix("dbfs:")
    parts = [part for part in PurePosixPath(inside).parts if part not in ("/", "..", ".")]
    places = [Path(folder, *parts[start:-1], f"{parts[-1]}{suffix}") for start in range(len(parts)) for suffix in _SUFFIXES]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SpecError(
            f"{field}: got {raw!r}: there is no file {Path(folder, *parts)}: put it there, as it is called in the workspace"
        )
    return str(found)


_PROGRAMS: dict[str, Callable[[Mapping[str, Json], Path], Fields]] = {
    "databricksnotebook": _notebook,
    "synapsenotebook": _notebook,
    "databrickssparkpython": _python,
    "databrickssparkjar": _jar,
    "hdinsightspark": _hdinsight,
}
SPARK = frozenset(_PROGRAMS)
"""Types of activities that are programs on a Spark cluster, in lower case."""
