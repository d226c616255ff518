"""Every name that is read from an export is one of Microsoft's SDK: its models judge ours."""

from __future__ import annotations

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import pytest
from azure.mgmt.datafactory import models

import airflow_ml_provider
from airflow_ml_provider.adf.export.pipeline_reader import read_pipeline
from airflow_ml_provider.adf.model import Condition, Factory
from airflow_ml_provider.adf.support.spark_programs import SPARK
from airflow_ml_provider.adf.support.verdicts import RUNS, judge

PACKAGE = Path(airflow_ml_provider.__file__).parent
READERS = {"pick": 1, "_pop": 1, "call": 0, "required": 0, "_numbers": 2, "found": 0}
"""Functions that read a property, and the place of its name among their arguments."""
MODULES: dict[str, tuple[str, ...]] = {
    "adf/export/pipeline_reader.py": ("PipelineResource", "Activity"),
    "adf/triggers/reader.py": ("Trigger",),
    "adf/airflow/activities/append_variable.py": ("AppendVariableActivity",),
    "adf/airflow/activities/azure_function.py": ("AzureFunctionActivity", "LinkedService"),
    "adf/airflow/activities/delete.py": ("DeleteActivity", "DatasetResource"),
    "adf/airflow/activities/execute_pipeline.py": ("ExecutePipelineActivity",),
    "adf/airflow/activities/fail.py": ("FailActivity",),
    "adf/airflow/activities/filter.py": ("FilterActivity",),
    "adf/airflow/activities/get_metadata.py": ("GetMetadataActivity", "DatasetResource"),
    "adf/airflow/activities/lookup.py": ("LookupActivity",),
    "adf/airflow/activities/script.py": ("ScriptActivity",),
    "adf/airflow/activities/set_variable.py": ("SetVariableActivity",),
    "adf/airflow/activities/sql_server_stored_procedure.py": ("SqlServerStoredProcedureActivity",),
    "adf/airflow/activities/validation.py": ("ValidationActivity", "DatasetResource"),
    "adf/airflow/activities/wait.py": ("WaitActivity",),
    "adf/airflow/activities/web.py": ("WebActivity", "AzureFunctionActivity", "WebHookActivity", "LinkedService"),
    "adf/airflow/operators/inner_activities.py": ("IfConditionActivity", "SwitchActivity", "ForEachActivity", "UntilActivity"),
}
"""What is read in a module, where it is known; other modules may read any name of the SDK."""
ELSEWHERE = {
    "adf/export/arm_template.py": "templates of Azure's resource manager",
    "adf/export/loader.py": "files and templates",
}
OUTSIDE = {
    "a Spark pool of Synapse": {"autoScale", "enabled", "maxNodeCount", "minNodeCount", "nodeCount"},
    "a Spark job definition of Synapse": {"jobProperties", "file", "className", "args"},
    "a SQL pool of Synapse": {"sqlPool"},
    "a notebook": {"cells", "metadata", "source"},
    "a library of Databricks": {"coordinates", "exclusions", "jar", "jarUri", "package", "pypi", "maven", "repo", "egg", "whl"},
    "a translator, which the SDK leaves open": {"collectionReference", "columnMappings", "mappings", "ordinal", "schemaMapping"},
    "a pipeline's return value, as the portal writes it": {"content", "key"},
    "what calls a WebHook back": {"Error", "ErrorCode", "Message", "StatusCode"},
    "a word of our own": {"rowTag"},
}
"""What the SDK has no model of."""


def below(base: type) -> Iterator[type]:
    yield base
    for one in base.__subclasses__():
        yield from below(one)


def activities() -> dict[str, type]:
    """The concrete activities by type."""
    abstract = (models.Activity, models.ControlActivity, models.ExecutionActivity)
    return {kind_of(one): one for one in below(models.Activity) if one not in abstract}


def kind_of(model: type) -> str:
    return str(typing.get_args(inspect.get_annotations(model)["type"])[0])


def fields(model: type) -> dict[str, str]:
    """The names of a model in JSON, each with its annotation."""
    model.__new__(model)  # fills in what the SDK makes late
    found: dict[str, Any] = model._attr_to_rest_field  # type: ignore[attr-defined]
    annotations = {name: text for one in reversed(model.__mro__) for name, text in inspect.get_annotations(one).items()}
    return {field._rest_name: str(annotations.get(name, "")) for name, field in found.items()}


@cache
def names_of(root: type) -> frozenset[str]:
    """Every name in a model, in its subclasses and in all that they hold."""
    seen: set[type] = set()
    left, names = [root], set()
    while left:
        for model in below(left.pop()):
            if model in seen:
                continue
            seen.add(model)
            for name, annotation in fields(model).items():
                names.add(name)
                left += [one for name in re.findall(r"_models\.(\w+)", annotation) if (one := vars(models._models).get(name))]
    return frozenset(names)


def names_read(path: Path) -> Iterator[str]:
    """The names of properties that a module reads, as they are written in its calls."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        place = READERS.get(name)
        if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
            yield str(node.args[place].value)


FILES = [path for path in sorted(PACKAGE.glob("adf/**/*.py")) if any(names_read(path))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_name_that_is_read_is_microsofts(path: Path) -> None:
    module = path.relative_to(PACKAGE).as_posix()
    if module in ELSEWHERE:
        return
    roots = MODULES.get(module) or ("PipelineResource", "DatasetResource", "LinkedServiceResource", "TriggerResource", "Factory")
    known = frozenset[str]().union(*(names_of(getattr(models, root)) for root in roots), *OUTSIDE.values())
    assert not {name for name in names_read(path) if name not in known}


def test_every_type_of_activity_is_read_with_its_surroundings_and_has_a_verdict() -> None:
    found = activities()
    assert len(found) == 40
    policy = {"retry": 2, "retryIntervalInSeconds": 60, "timeout": "0.01:00:00", "secureInput": True, "secureOutput": True}
    edges = [{"activity": "before", "dependencyConditions": ["Failed", "Skipped"]}]
    for kind, model in found.items():
        names = fields(model)
        written = {
            "name": "it",
            "type": kind,
            "description": "why",
            "dependsOn": edges,
            "state": "Inactive",
            "onInactiveMarkAs": "Skipped",
            "userProperties": [{"name": "a", "value": 1}],
            "policy": policy,
            "linkedServiceName": {"type": "LinkedServiceReference", "referenceName": "there"},
        }
        document = {name: value for name, value in model(written).as_dict().items() if name in names}  # type: ignore[call-arg]
        document |= {"type": kind, "typeProperties": {}}
        pipeline = read_pipeline("p", {"activities": [document]}, PurePath("p.json"))
        (read,) = pipeline.activities
        assert (read.type, read.name, read.description, read.active) == (kind, "it", "why", False)
        assert (read.on_inactive_mark_as, read.user_properties) == (Condition.SKIPPED, {"a": 1})
        assert [edge.conditions for edge in read.depends_on] == [{Condition.FAILED, Condition.SKIPPED}]
        if "policy" in names:
            assert (read.policy.retry, read.policy.retry_interval, read.policy.timeout) == (2, 60, "0.01:00:00")
            assert read.policy.secure_input is read.policy.secure_output is True
        if "linkedServiceName" in names:
            assert read.linked_service is not None and read.linked_service.name == "there"
        active = read_pipeline("p", {"activities": [{"name": "it", "type": kind, "typeProperties": {}}]}, PurePath("p.json"))
        told = [reason.text for reason in judge(active, Factory(pipelines=(active,))).reasons]
        assert kind in RUNS or any(text.startswith(f"{kind}: ") for text in told)
        assert not any("of a type that is not known" in text for text in told)


def test_containers_hold_what_they_hold_in_the_sdk() -> None:
    inside = {"name": "inner", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}
    held = {"ForEach": ["activities"], "Until": ["activities"], "IfCondition": ["ifTrueActivities", "ifFalseActivities"]}
    held["Switch"] = ["defaultActivities", "cases"]
    for kind, slots in held.items():
        model = getattr(models, f"{kind}ActivityTypeProperties", None) or getattr(models._models, f"{kind}ActivityTypeProperties")
        holding = [name for name, annotation in fields(model).items() if "Activity" in annotation or "SwitchCase" in annotation]
        assert sorted(holding) == sorted(slots)
        properties = {slot: [{**inside, "name": slot}] for slot in slots if slot != "cases"}
        if "cases" in slots:
            properties["cases"] = [{"value": "a", "activities": [inside]}]
        document = {"name": "it", "type": kind, "typeProperties": properties}
        pipeline = read_pipeline("p", {"activities": [document]}, PurePath("p.json"))
        assert len(list(pipeline.walk())) == 1 + len(slots)


CONTAINERS = {"ForEach", "IfCondition", "Switch", "Until"}
"""Their files are ``operators/containers.py`` and ``operators/inner_activities.py``."""


def test_an_activity_has_the_file_of_its_name() -> None:
    """A person who knows Data Factory finds it; what is a program on Spark stands in ``support/spark_programs.py`` together."""
    folder = PACKAGE / "adf" / "airflow" / "activities"
    files = {re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Activity")).lower(): name for name in RUNS}
    alone = {file: name for file, name in files.items() if name.casefold() not in SPARK and name not in CONTAINERS}
    together = {"sql_pool_stored_procedure": "sql_server_stored_procedure"}
    assert not [name for file, name in alone.items() if not (folder / f"{together.get(file, file)}.py").is_file()]
