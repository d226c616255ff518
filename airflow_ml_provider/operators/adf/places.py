"""Datasets as places: files on mounts, tables behind connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ml_provider.adf.datasets import is_legacy, kind_of
from airflow_ml_provider.adf.graph import Reference, Resource
from airflow_ml_provider.adf.reading import pick, read_reference
from airflow_ml_provider.adf.services import conn_id_of
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.operators.adf.calls import Call

_CONTAINERS = ("container", "fileSystem", "bucketName")
__all__ = ["Store", "conn_id_of", "dataset_of", "dataset_place", "location"]


@dataclass(frozen=True)
class Store:
    """What a dataset stands for.

    :param kind: the dataset's type in lower case, such as ``parquet`` or ``azuresqltable``.
    :param properties: its type properties, with their values.
    """

    name: str
    kind: str
    conn_id: str
    properties: Mapping[str, Any]

    @property
    def is_file(self) -> bool:
        return isinstance(pick(self.properties, "location"), Mapping)

    @property
    def path(self) -> str:
        """The file or folder as ``mount://<name>/…``: the mount is the connection of the linked service's name."""
        return self._below(location(self._location))

    @property
    def root(self) -> str:
        """The container, or the mount itself where the dataset names none."""
        return self._below(location({key: pick(self._location, key) for key in _CONTAINERS}))

    @property
    def file_name(self) -> str:
        """The file's name; empty for a folder."""
        return str(pick(self._location, "fileName") or "")

    @property
    def _location(self) -> Mapping[str, Any]:
        if not self.is_file:
            raise SpecError(f"dataset {self.name!r}: location: is required for a dataset of files")
        found: Mapping[str, Any] = pick(self.properties, "location")
        return found

    def _below(self, path: str) -> str:
        return f"mount://{self.conn_id}/{path}".rstrip("/")

    @property
    def table(self) -> str:
        """The table's name, with its schema; empty where the dataset names none."""
        parts = [pick(self.properties, key) for key in ("schema", "table")]
        return ".".join(str(part) for part in parts if part) or str(pick(self.properties, "tableName") or "")


def location(raw: Any) -> str:
    """A location's path below its linked service: container, folder, file."""
    parts = [pick(raw or {}, key) for key in (*_CONTAINERS, "folderPath", "fileName")]
    return "/".join(str(part).strip("/") for part in parts if part)


def dataset_place(call: Call, reference: Reference | Mapping[str, Any] | None) -> Store:
    """What a reference to a dataset stands for, the arguments for its parameters put in.

    :raises SpecError: there is no such dataset.
    """
    found = reference if isinstance(reference, Reference) else read_reference(reference)
    view, dataset = call.view, dataset_of(call, found)
    assert found is not None
    service = read_reference(pick(dataset.properties, "linkedServiceName"))
    if service is None:
        raise SpecError(f"dataset {dataset.name!r}: linkedServiceName: is required")
    properties = view.resolve_in(dataset.type_properties, _arguments(call, found, dataset))
    kind = kind_of(dataset.type, dataset.type_properties)
    return Store(dataset.name, kind, conn_id_of(service.name), _modern(dataset.type, properties))


def dataset_of(call: Call, reference: Reference | None) -> Resource:
    """The dataset of the export; :class:`SpecError` when there is none."""
    near = call.view.place.pipeline.source
    found = call.view.place.factory.dataset(reference.name, near=near) if reference else None
    if found is None:
        name = reference.name if reference else None
        raise SpecError(f"activity {call.activity.name!r}: dataset {name!r}: is not in the export")
    return found


def _modern(kind: str, properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of a dataset of files from before they had a location, as later ones have them."""
    if not is_legacy(kind, properties):
        return properties
    shape = pick(properties, "format")
    place = {key: pick(properties, key) for key in ("bucketName", "folderPath", "fileName")}
    place["fileName"] = place["fileName"] or pick(properties, "key")
    return {**(shape if isinstance(shape, Mapping) else {}), "location": place}


def _arguments(call: Call, reference: Reference, dataset: Resource) -> dict[str, Any]:
    """The values of the dataset's parameters."""
    declared = pick(dataset.properties, "parameters") or {}
    defaults = {name: pick(one, "defaultValue") for name, one in declared.items() if isinstance(one, Mapping)}
    return {**defaults, **{name: call.view.resolve(value) for name, value in reference.parameters.items()}}
