"""A pipeline's JSON as a :class:`Pipeline`. Lenient: what can be mended is, and is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf.errors import DocumentError
from airflow_ml_provider.adf.fields import mapping_of, pick, read_reference
from airflow_ml_provider.adf.model import Activity, Branch, Condition, Edge, Json, Parameter, Pipeline, Policy, Problem, Reference

DEEPEST = 8
"""Containers inside containers that are read; ADF itself allows two."""

_CONTAINERS = {
    "foreach": (("body", "activities"),),
    "until": (("body", "activities"),),
    "ifcondition": (("true", "ifTrueActivities"), ("false", "ifFalseActivities")),
    "switch": (("default", "defaultActivities"),),
}
_VERSION_1 = ("start", "end", "isPaused", "pipelineMode", "hubName", "expirationTime")


def read_pipeline(name: str, properties: Mapping[str, Json], source: PurePath) -> Pipeline:
    """A pipeline from its document's ``properties``.

    :raises DocumentError: it is a pipeline of version 1, or none.
    """
    activities = pick(properties, "activities")
    if not isinstance(activities, list):
        raise DocumentError(f"no pipeline: got {_kind(activities)} for 'activities': takes a list")
    if old := _version_1(properties, activities):
        raise DocumentError(f"a pipeline of Data Factory version 1 (it has {old!r}): migrate it to version 2 first")
    reader = _Reader(source)
    found = _with_names(reader.activities(activities, ()))
    return Pipeline(
        name=name,
        source=source,
        parameters=_parameters(pick(properties, "parameters")),
        variables=_parameters(pick(properties, "variables")),
        activities=found,
        concurrency=_positive(pick(properties, "concurrency")),
        annotations=tuple(map(str, _list(pick(properties, "annotations")))),
        folder=str(pick(mapping_of(pick(properties, "folder")), "name") or ""),
        description=str(pick(properties, "description") or ""),
        problems=tuple(reader.problems),
    )


@dataclass
class _Reader:
    """Reads the activities of one pipeline and gathers what is wrong with them."""

    source: PurePath
    problems: list[Problem] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def activities(self, raw: Iterable[Json], path: tuple[str, ...]) -> Iterator[Activity]:
        for number, one in enumerate(raw):
            name = pick(mapping_of(one), "name")
            if not isinstance(name, str) or not isinstance(pick(one, "type"), str):
                self._tell(f"activity {number} has no name or no type: left out", path, fatal=True)
            elif name.casefold() in self.names:
                self._tell("a second activity of this name: left out", (*path, name), fatal=True)
            else:
                self.names.add(name.casefold())
                yield self.activity(one, name, (*path, name))

    def activity(self, raw: Mapping[str, Json], name: str, path: tuple[str, ...]) -> Activity:
        properties = dict(mapping_of(pick(raw, "typeProperties")))
        kind = str(pick(raw, "type"))
        return Activity(
            name=name,
            type=kind,
            depends_on=tuple(self._edges(pick(raw, "dependsOn"), path)),
            policy=_policy(mapping_of(pick(raw, "policy"))),
            user_properties=_user_properties(pick(raw, "userProperties")),
            active=str(pick(raw, "state") or "Active").casefold() != "inactive",
            on_inactive_mark_as=_condition(pick(raw, "onInactiveMarkAs")) or Condition.SUCCEEDED,
            branches=tuple(self._branches(kind, properties, path)),
            type_properties=properties,
            linked_service=read_reference(pick(raw, "linkedServiceName")) or read_reference(pick(raw, "sqlPool")),
            inputs=_references(pick(raw, "inputs")),
            outputs=_references(pick(raw, "outputs")),
            description=str(pick(raw, "description") or ""),
            path=path,
        )

    def _branches(self, kind: str, properties: dict[str, Json], path: tuple[str, ...]) -> Iterator[Branch]:
        """The activities inside, which are taken out of ``properties``."""
        slots = _CONTAINERS.get(kind.casefold(), ())
        if slots and len(path) > DEEPEST:
            self._tell(f"containers inside containers: got more than {DEEPEST}: the inner ones are left out", path, fatal=True)
            slots = ()
        for case in _list(_pop(properties, "cases")) if kind.casefold() == "switch" and slots else ():
            inside = _with_names(self.activities(_list(pick(mapping_of(case), "activities")), path))
            yield Branch("case", inside, str(pick(mapping_of(case), "value")))
        for label, key in slots:
            yield Branch(label, _with_names(self.activities(_list(_pop(properties, key)), path)))

    def _edges(self, raw: Json, path: tuple[str, ...]) -> Iterator[Edge]:
        for one in _list(raw):
            name = pick(mapping_of(one), "activity")
            if not isinstance(name, str):
                self._tell("a dependency without the name of an activity: left out", path)
                continue
            written = _list(pick(one, "dependencyConditions")) or [Condition.SUCCEEDED]
            known = [found for text in written if (found := _condition(text))]
            if len(known) < len(written):
                self._tell(f"dependency on {name!r}: got the conditions {written}: takes {', '.join(Condition)}", path)
            yield Edge(name, frozenset(known or [Condition.SUCCEEDED]))

    def _tell(self, reason: str, path: tuple[str, ...], *, fatal: bool = False) -> None:
        self.problems.append(Problem(self.source, reason, path, fatal))


def _with_names(activities: Iterable[Activity]) -> tuple[Activity, ...]:
    """Activities that stand beside each other, their dependencies by the names as they are written there: case does not tell names apart."""
    found = tuple(activities)
    names = {one.name.casefold(): one.name for one in found}
    return tuple(
        replace(
            one,
            depends_on=tuple(
                replace(edge, activity=names.get(edge.activity.casefold(), edge.activity)) for edge in one.depends_on
            ),
        )
        for one in found
    )


def _policy(raw: Mapping[str, Json]) -> Policy:
    def found(key: str, default: Json) -> Json:
        value = pick(raw, key)
        return default if value is None else value

    return Policy(
        timeout=found("timeout", None),
        retry=found("retry", 0),
        retry_interval=found("retryIntervalInSeconds", 30),
        secure_input=found("secureInput", default=False),
        secure_output=found("secureOutput", default=False),
    )


def _parameters(raw: Json) -> dict[str, Parameter]:
    return {str(name): _parameter(value) for name, value in mapping_of(raw).items()}


def _parameter(raw: Json) -> Parameter:
    bag = mapping_of(raw)
    given = any(name.casefold() == "defaultvalue" for name in bag)
    return Parameter(str(pick(bag, "type") or "String"), pick(bag, "defaultValue"), required=not given)


def _user_properties(raw: Json) -> dict[str, Json]:
    bags = [bag for bag in _list(raw) if isinstance(bag, Mapping)]
    return {str(pick(bag, "name")): pick(bag, "value") for bag in bags}


def _condition(raw: Json) -> Condition | None:
    text = str(raw or "").casefold()
    return next((condition for condition in Condition if condition.casefold() == text), None)


def _references(raw: Json) -> tuple[Reference, ...]:
    return tuple(found for one in _list(raw) if (found := read_reference(one)))


def _version_1(properties: Mapping[str, Json], activities: list[Json]) -> str:
    """A key that only version 1 has; empty for version 2."""
    old = [key for key in _VERSION_1 if pick(properties, key) is not None]
    inside = [key for one in activities for key in ("scheduler",) if pick(mapping_of(one), key) is not None]
    return next(iter(old + inside), "")


def _positive(raw: Json) -> int | None:
    try:
        return max(int(raw), 0) or None
    except (TypeError, ValueError, OverflowError):
        return None


def _pop(properties: dict[str, Json], key: str) -> Json:
    name = next((name for name in properties if name.casefold() == key.casefold()), key)
    return properties.pop(name, None)


def _list(raw: Any) -> list[Json]:
    return raw if isinstance(raw, list) else []


def _kind(raw: Json) -> str:
    return "nothing" if raw is None else type(raw).__name__
