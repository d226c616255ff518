"""Spark activities as our programs: pure translations of type properties."""

from __future__ import annotations

import configparser
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_ml_provider.adf.fields import pick, read_reference
from airflow_ml_provider.adf.model import Json, Resource
from airflow_ml_provider.adf.support.synapse_notebooks import exported_notebook
from airflow_ml_provider.core.errors import SpecError

_SUFFIXES = ("", ".py", ".ipynb", ".sql", ".scala", ".r", ".R")
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
    used = [program[field] for field in ("jar", "wheel") if field in program]
    found = [_library(one, source) for one in pick(properties, "libraries") or () if isinstance(one, Mapping)]
    return Job(program, [one for one in found if one.get("path") not in used], spark_conf)


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
    if reference and (exported := exported_notebook(reference.name, source.named)):
        return {"kind": "notebook", "parameters": values, **exported}
    raw = pick(properties, "notebookPath") or (reference.name if reference else None)
    path = _file(source, raw, "notebookPath")
    return {"kind": "notebook", "path": path, "parameters": values, "root": str(source.folder.absolute())}


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
    return {"kind": "python_file", "path": path, "args": words, "api": _api(path)}


def _api(path: str) -> str:
    return "classic" if _CLASSIC.search(Path(path).read_text(encoding="utf-8", errors="replace")) else "connect"


def _args(raw: Json) -> list[str]:
    return [str(one) for one in raw] if isinstance(raw, Sequence) and not isinstance(raw, str) else []


def _file(source: Source, raw: Json, field: str) -> str:
    """The file below the folder under the whole path that an activity names, whatever its scheme and with or without a suffix."""
    if not isinstance(raw, str) or not raw:
        raise SpecError(f"{field}: got {raw!r}: takes a path")
    inside = raw.partition("://")[2].partition("/")[2] if "://" in raw else raw.removeprefix("dbfs:")
    parts = [part for part in PurePosixPath(inside).parts if part not in ("/", ".")]
    if raw.startswith("/Workspace/"):  # where Databricks shows the workspace's own root among files
        parts = parts[1:]
    if not parts or ".." in parts:
        raise SpecError(f"{field}: got {raw!r}: takes the path of a file, without '..'")
    exact, *others = [Path(source.folder, *parts[:-1], f"{parts[-1]}{suffix}") for suffix in _SUFFIXES]
    found = [exact] if exact.is_file() else [place for place in others if place.is_file()]
    if not found:
        fix = "put the file there" if exact.suffix else f"put it there with one of the suffixes {', '.join(_SUFFIXES[1:])}"
        raise SpecError(f"{field}: got {raw!r}: there is no file {exact}: {fix}")
    if len(found) > 1:
        raise SpecError(f"{field}: got {raw!r}: takes one file: {exact.parent} has {', '.join(place.name for place in found)}")
    return str(found[0])


def _task_notebook(properties: Mapping[str, Json], source: Source) -> Fields:
    path = _file(source, properties.get("notebook_path"), "notebook_path")
    values = dict(properties.get("base_parameters") or {})
    return {"kind": "notebook", "path": path, "parameters": values, "root": str(source.folder.absolute())}


def _task_python(properties: Mapping[str, Json], source: Source) -> Fields:
    path = _file(source, properties.get("python_file"), "python_file")
    return {"kind": "python_file", "path": path, "args": _args(properties.get("parameters")), "api": _api(path)}


def _task_jar(properties: Mapping[str, Json], source: Source) -> Fields:
    named = {"mainClassName": "main_class_name", "parameters": "parameters", "libraries": "libraries", "jarUri": "jar_uri"}
    return _jar({ours: properties.get(theirs) for ours, theirs in named.items()}, source)


def _task_wheel(properties: Mapping[str, Json], source: Source) -> Fields:
    """An entry point by its name in the wheel, else a function of the package, as Databricks looks for it."""
    package, name = str(properties.get("package_name") or ""), str(properties.get("entry_point") or "")
    wheels = [_file(source, found, "libraries") for one in properties.get("libraries") or () if (found := one.get("whl"))]
    wheel = next((one for one in wheels if _distribution(Path(one).name.partition("-")[0]) == _distribution(package)), None)
    if wheel is None:
        raise SpecError(f"python_wheel_task: package_name: got {package!r}: takes the package of a wheel among the libraries")
    named = properties.get("named_parameters") or {}
    args = [*_args(properties.get("parameters")), *(f"--{key}={value}" for key, value in named.items())]
    return {"kind": "python_wheel", "wheel": wheel, "entry_point": _entry_point(wheel, name) or f"{package}:{name}", "args": args}


def _distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).casefold()


def _entry_point(wheel: str, name: str) -> str:
    """The function behind a wheel's entry point, of any group; empty without one."""
    with zipfile.ZipFile(wheel) as packed:
        found = next((one for one in packed.namelist() if one.endswith(".dist-info/entry_points.txt")), None)
        text = packed.read(found).decode() if found else ""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(text)
    functions = [parser[group][name] for group in parser.sections() if name in parser[group]]
    return functions[0].partition("[")[0].replace(" ", "") if functions else ""


def _task_sql(properties: Mapping[str, Json], source: Source) -> Fields:
    """A file of SQL. Its ``:name`` are bound; what it has in ``{{…}}`` would be spliced in, and is refused."""
    path = _file(source, (properties.get("file") or {}).get("path"), "sql_task.file.path")
    text = Path(path).read_text(encoding="utf-8")
    if "{{" in text:
        raise SpecError(f"sql_task.file: {path}: got {{{{…}}}}: takes parameters as :name")
    return {"kind": "sql", "text": text, "parameters": dict(properties.get("parameters") or {})}


_PROGRAMS: dict[str, Callable[[Mapping[str, Json], Source], Fields]] = {
    "databricksnotebook": _notebook,
    "synapsenotebook": _notebook,
    "databrickssparkpython": _python,
    "databrickssparkjar": _jar,
    "hdinsightspark": _hdinsight,
    "sparkjob": _spark_job,
    "notebook_task": _task_notebook,
    "spark_python_task": _task_python,
    "spark_jar_task": _task_jar,
    "python_wheel_task": _task_wheel,
    "sql_task": _task_sql,
}
TASKS = {
    "notebook_task": frozenset(("notebook_path", "source", "base_parameters", "warehouse_id")),
    "spark_python_task": frozenset(("python_file", "source", "parameters")),
    "spark_jar_task": frozenset(("main_class_name", "parameters", "jar_uri", "run_as_repl")),
    "python_wheel_task": frozenset(("package_name", "entry_point", "parameters", "named_parameters")),
    "sql_task": frozenset(("file", "parameters", "warehouse_id")),
}
"""Tasks of a Databricks job that are programs, and their fields."""
PUSHED_DOWN = {"notebook_task": "base_parameters", "python_wheel_task": "named_parameters", "sql_task": "parameters"}
"""Where a task takes the job's parameters by themselves; a wheel only where it has parameters by name already."""
SPARK = frozenset(_PROGRAMS)
"""Types of activities that are programs on a Spark cluster, in lower case."""
