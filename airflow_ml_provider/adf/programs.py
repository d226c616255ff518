"""Spark activities as our programs: pure translations of type properties."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_ml_provider.adf.graph import Json, Resource
from airflow_ml_provider.adf.reading import pick, read_reference
from airflow_ml_provider.core.errors import SpecError

_SUFFIXES = ("", ".py", ".ipynb", ".sql", ".scala")
_CLASSIC = re.compile(r"\b(SparkContext|sparkContext|SQLContext|HiveContext|StreamingContext|mllib|_jvm|_jsc|rdd|sc)\b")
Fields = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Where programs come from.

    :param folder: the programs lie there, under the paths that the activities name.
    :param named: a resource of the export by kind and name.
    """

    folder: Path
    named: Callable[[str, str], Resource | None] = lambda kind, name: None


@dataclass(frozen=True)
class Job:
    """A program, and what its run needs beside the cluster.

    :param program: fields of one of the programs of :mod:`airflow_ml_provider.core.programs`.
    :param libraries: fields of libraries.
    """

    program: Fields
    libraries: list[Fields]
    spark_conf: dict[str, str]


def job(activity_type: str, properties: Mapping[str, Json], source: Source) -> Job:
    """What an activity runs.

    :param properties: type properties with their values.
    :raises SpecError: a property is missing or has no meaning here, or there is no such file.
    """
    program = _PROGRAMS[activity_type.casefold()](properties, source)
    conf = pick(properties, "sparkConfig") or {}
    spark_conf = {str(name): str(value) for name, value in conf.items() if str(name).startswith("spark.")}
    used = program.get("jar")
    found = [_library(one, source) for one in pick(properties, "libraries") or () if isinstance(one, Mapping)]
    return Job(program, [one for one in found if one.get("path") != used or used is None], spark_conf)


def check_libraries(properties: Mapping[str, Json]) -> None:
    """Raise :class:`SpecError` for a library of a kind that cannot be installed here."""
    libraries = pick(properties, "libraries")
    for one in libraries if isinstance(libraries, list) else ():
        if isinstance(one, Mapping):
            _kind_of(one)


def output(activity_type: str, result: Json) -> Json:
    """``activity('…').output`` of a program that handed back ``result``, where the activity's type has it."""
    if activity_type.casefold() == "synapsenotebook":
        return {"status": {"Output": {"result": {"exitValue": result}}}}
    return {"runOutput": _opened(result)} if activity_type.casefold() in SPARK else result


def _opened(result: Json) -> Json:
    """What a notebook hands back; a text that is a JSON object or list, as that."""
    if not isinstance(result, str) or not result.lstrip().startswith(("{", "[")):
        return result
    try:
        return json.loads(result)
    except ValueError:
        return result


_LIBRARIES = ("pypi", "jar", "whl", "maven")


def _kind_of(library: Mapping[str, Json]) -> str:
    kind = next((str(name).casefold() for name in library), "nothing")
    if kind not in _LIBRARIES:
        raise SpecError(f"libraries: got {kind!r}: takes {', '.join(_LIBRARIES)}")
    return kind


def _library(raw: Mapping[str, Json], source: Source) -> Fields:
    """One library of Databricks' as one of ours."""
    kind = _kind_of(raw)
    value = pick(raw, kind)
    if kind in ("jar", "whl"):
        return {"kind": "jar" if kind == "jar" else "wheel", "path": _file(source, value, "libraries")}
    if not isinstance(value, Mapping):
        raise SpecError(f"libraries: {kind}: got {value!r}: takes an object")
    if kind == "pypi":
        made: Fields = {"kind": "pypi", "requirement": str(pick(value, "package"))}
        return {**made, "index_url": str(pick(value, "repo"))} if pick(value, "repo") else made
    made = {"kind": "maven", "coordinates": str(pick(value, "coordinates")), "exclusions": list(pick(value, "exclusions") or ())}
    return {**made, "repository": str(pick(value, "repo"))} if pick(value, "repo") else made


def _notebook(properties: Mapping[str, Json], source: Source) -> Fields:
    given = pick(properties, "baseParameters") or pick(properties, "parameters") or {}
    values = {name: pick(one, "value") if isinstance(one, Mapping) and pick(one, "type") else one for name, one in given.items()}
    reference = read_reference(pick(properties, "notebook"))
    if reference and (text := _exported(reference.name, source)):
        return {"kind": "notebook", "source": text, "parameters": values}
    raw = pick(properties, "notebookPath") or (reference.name if reference else None)
    return {"kind": "notebook", "path": _file(source, raw, "notebookPath"), "parameters": values}


def _exported(name: str, source: Source) -> str:
    """The text of a notebook that the export itself holds, as Synapse's do; empty without one."""
    found = source.named("notebook", name)
    cells = pick(found.properties, "cells") if found else None
    if not isinstance(cells, list):
        return ""
    inside = {"cells": cells, "metadata": pick(found.properties, "metadata") or {}} if found else {}
    return json.dumps({**inside, "nbformat": 4, "nbformat_minor": 2})


def _python(properties: Mapping[str, Json], source: Source) -> Fields:
    raw = pick(properties, "pythonFile")
    return {"kind": "python_file", "path": _file(source, raw, "pythonFile"), "args": _args(pick(properties, "parameters"))}


def _jar(properties: Mapping[str, Json], source: Source) -> Fields:
    libraries = pick(properties, "libraries") or ()
    jar = next((found for one in libraries if (found := pick(one, "jar"))), pick(properties, "jarUri"))
    name = str(pick(properties, "mainClassName") or "")
    args = _args(pick(properties, "parameters"))
    return {"kind": "spark_jar", "jar": _file(source, jar, "libraries"), "main_class": name, "args": args}


def _hdinsight(properties: Mapping[str, Json], source: Source) -> Fields:
    parts = [str(part) for key in ("rootPath", "entryFilePath") if (part := pick(properties, key))]
    raw = "/".join(part.replace("\\", "/").strip("/") for part in parts)
    return _submitted(raw, "entryFilePath", pick(properties, "className"), pick(properties, "arguments"), source)


def _spark_job(properties: Mapping[str, Json], source: Source) -> Fields:
    """A Spark job definition of Synapse; what the activity says comes first."""
    reference = read_reference(pick(properties, "sparkJob"))
    definition = source.named("sparkJobDefinition", reference.name) if reference else None
    bag = {**((pick(definition.properties, "jobProperties") or {}) if definition else {}), **_given(properties)}
    if not pick(bag, "file"):
        name = reference.name if reference else None
        raise SpecError(f"sparkJob: got {name!r}: takes a Spark job definition of the export, or a 'file'")
    return _submitted(pick(bag, "file"), "file", pick(bag, "className"), pick(bag, "args"), source)


def _given(properties: Mapping[str, Json]) -> Fields:
    found = {key: pick(properties, key) for key in ("file", "className", "args")}
    return {key: value for key, value in found.items() if value}


def _submitted(raw: Json, field: str, main_class: Json, args: Json, source: Source) -> Fields:
    """What ``spark-submit`` would be given: a JAR with its class, or a Python program. One that speaks of what only a driver of its
    own has (contexts, RDDs, the JVM) gets one; the others share the cluster's.
    """
    path, words = _file(source, raw, field), _args(args)
    if path.endswith(".jar"):
        return {"kind": "spark_jar", "jar": path, "main_class": str(main_class or ""), "args": words}
    api = "classic" if _CLASSIC.search(Path(path).read_text(encoding="utf-8", errors="replace")) else "connect"
    return {"kind": "python_file", "path": path, "args": words, "api": api}


def _args(raw: Json) -> list[str]:
    return [str(one) for one in raw] if isinstance(raw, Sequence) and not isinstance(raw, str) else []


def _file(source: Source, raw: Json, field: str) -> str:
    """The file below the folder that a path in a workspace or a store means, whatever its scheme and with or without a suffix."""
    if not isinstance(raw, str) or not raw:
        raise SpecError(f"{field}: got {raw!r}: takes a path")
    folder = source.folder
    inside = raw.partition("://")[2].partition("/")[2] if "://" in raw else raw.removeprefix("dbfs:")
    parts = [part for part in PurePosixPath(inside).parts if part not in ("/", "..", ".")]
    places = [Path(folder, *parts[start:-1], f"{parts[-1]}{suffix}") for start in range(len(parts)) for suffix in _SUFFIXES]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SpecError(
            f"{field}: got {raw!r}: there is no file {Path(folder, *parts)}: put it there, as it is called in the workspace"
        )
    return str(found)


_PROGRAMS: dict[str, Callable[[Mapping[str, Json], Source], Fields]] = {
    "databricksnotebook": _notebook,
    "synapsenotebook": _notebook,
    "databrickssparkpython": _python,
    "databrickssparkjar": _jar,
    "hdinsightspark": _hdinsight,
    "sparkjob": _spark_job,
}
SPARK = frozenset(_PROGRAMS)
"""Types of activities that are programs on a Spark cluster, in lower case."""
