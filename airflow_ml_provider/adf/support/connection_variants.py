"""Parameterised linked services: a connection of its own for each set of arguments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import PurePath

from airflow_ml_provider.adf.errors import ExpressionError
from airflow_ml_provider.adf.expressions.evaluator import calls
from airflow_ml_provider.adf.expressions.properties import expressions, resolve
from airflow_ml_provider.adf.fields import bag, pick, read_reference
from airflow_ml_provider.adf.model import Activity, Factory, Json, Pipeline, Reference, Resource
from airflow_ml_provider.core.errors import SpecError

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9]+")
_EXACT = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_OF_THE_RUN = frozenset(
    ("activity", "item", "pipeline", "variables", "trigger", "triggerbody", "linkedservice", "utcnow", "guid", "rand")
)
_LONGEST_VALUE, _LONGEST = 40, 200


def conn_id_of(service: str) -> str:
    """The connection's id for a linked service: its name in lower case, every other character than letters and digits a ``_``."""
    return _NOT_IN_IDS.sub("_", service).strip("_").lower() or "unnamed"


def connection_id(name: str, service: Resource | None, arguments: Mapping[str, Json]) -> str:
    """The connection's id for a linked service with arguments: :func:`conn_id_of` with a ``__`` and the value of each parameter after it.

    ``anydb`` with ``db`` "red" is ``anydb__red``. A value with other characters than lower-case letters, digits and ``_`` has a part of its
    hash behind it, so two values never mean one connection. Arguments that are all defaults change nothing.

    :param arguments: with their values.
    :raises SpecError: one is no text, number or boolean, or is a secret, which an id would show.
    """
    declared = bag(service.properties, "parameters") if service else {}
    defaults = {key: pick(one, "defaultValue") for key, one in declared.items() if isinstance(one, Mapping)}
    values = {**defaults, **arguments}
    if values == defaults:
        return conn_id_of(name)
    for key, value in values.items():
        if str(pick(bag(declared, key), "type")).casefold() == "securestring" or isinstance(value, Mapping | list):
            what = "a secret" if not isinstance(value, list) else "a list"
            raise SpecError(
                f"linked service {name!r}: parameter {key!r}: got {what}: takes a text: pass the secret's name instead"
            )
    found = "__".join([conn_id_of(name), *map(_part, values.values())])
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}_{_hash(found)}"


def _part(value: Json) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if _EXACT.fullmatch(text) and len(text) <= _LONGEST_VALUE:
        return text
    return f"{conn_id_of(text)[:_LONGEST_VALUE].strip('_')}_{_hash(text)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def static_arguments(raw: Mapping[str, Json], dataset: Mapping[str, Json] | None = None) -> dict[str, Json] | None:
    """The values of arguments as far as they are known before a run; None when one is not.

    :param dataset: what ``dataset()`` is.
    """
    try:
        names = {call.name.casefold() for text in expressions(dict(raw)) for call in calls(text)}
        if names & _OF_THE_RUN or (dataset is None and "dataset" in names):
            return None
        found: dict[str, Json] = resolve(dict(raw), {"dataset": dict(dataset or {})})
    except ExpressionError:
        return None
    return found


def dataset_arguments(reference: Reference, dataset: Resource) -> dict[str, Json]:
    """What ``dataset()`` is for a reference, without values: the defaults, and the arguments before them."""
    declared = bag(dataset.properties, "parameters")
    defaults = {name: pick(one, "defaultValue") for name, one in declared.items() if isinstance(one, Mapping)}
    return {**defaults, **reference.parameters}


def static_connection(factory: Factory, near: PurePath, reference: Reference) -> str | None:
    """The connection behind a reference to a dataset, where it is known before a run."""
    dataset = factory.dataset(reference.name, near)
    used = read_reference(pick(dataset.properties, "linkedServiceName")) if dataset else None
    if dataset is None or used is None:
        return None
    inside = static_arguments(dataset_arguments(reference, dataset)) if used.parameters else {}
    values = None if inside is None else static_arguments(used.parameters, inside)
    return None if values is None else connection_id(used.name, factory.linked_service(used.name, near), values)


def argument_sets(factory: Factory, service: Resource) -> Iterator[dict[str, Json] | None]:
    """Each set of arguments that an export gives a linked service, None for one that only a run knows. Some come several times."""
    for pipeline in factory.pipelines:
        for used, dataset in chain.from_iterable(_uses(one, pipeline, factory) for one in pipeline.walk()):
            if used.name.casefold() == service.name.casefold():
                yield None if dataset is None else static_arguments(used.parameters, dataset)


def connection_refusals(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[str]:
    """Why a linked service's arguments tell no connection apart."""
    for used, dataset in _uses(activity, pipeline, factory):
        service = factory.linked_service(used.name, pipeline.source)
        declared = bag(service.properties, "parameters") if service else {}
        secret = {name for name in used.parameters if str(pick(bag(declared, name), "type")).casefold() == "securestring"}
        values = static_arguments({name: None if name in secret else value for name, value in used.parameters.items()}, dataset)
        try:
            connection_id(used.name, service, dict.fromkeys(secret) | (values or {}))
        except SpecError as error:
            yield str(error)


def _uses(activity: Activity, pipeline: Pipeline, factory: Factory) -> Iterator[tuple[Reference, dict[str, Json] | None]]:
    """References to linked services, of the activity and of its datasets, and what ``dataset()`` is there."""
    if activity.linked_service:
        yield activity.linked_service, {}
    own = read_reference(pick(activity.type_properties, "dataset"))
    for reference in (*activity.inputs, *activity.outputs, *([own] if own else [])):
        dataset = factory.dataset(reference.name, pipeline.source)
        used = read_reference(pick(dataset.properties, "linkedServiceName")) if dataset else None
        if dataset and used:
            yield used, static_arguments(dataset_arguments(reference, dataset)) if used.parameters else {}
