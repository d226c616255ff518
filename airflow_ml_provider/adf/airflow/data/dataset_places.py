"""Datasets as places: files on mounts, tables behind connections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.data.sql_identifiers import parts_of
from airflow_ml_provider.adf.fields import pick, read_reference
from airflow_ml_provider.adf.model import Reference, Resource
from airflow_ml_provider.adf.support.connection_variants import conn_id_of, connection_id, dataset_arguments
from airflow_ml_provider.adf.support.datasets import is_legacy, kind_of, schema_columns
from airflow_ml_provider.core.errors import SpecError

_OLD_FILTERS = ("modifiedDatetimeStart", "modifiedDatetimeEnd", "fileFilter")
_CONTAINERS = ("container", "fileSystem", "bucketName")


@dataclass(frozen=True)
class Store:
    """What a dataset stands for.

    :param kind: the dataset's type in lower case, such as ``parquet`` or ``azuresqltable``.
    :param properties: its type properties, with their values.
    :param columns: that its schema names.
    """

    name: str
    kind: str
    conn_id: str
    properties: Mapping[str, Any]
    columns: tuple[str, ...] = ()

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
    def table_parts(self) -> tuple[str, ...]:
        """The table's name after its schema's, as they are; nothing where the dataset names none."""
        parts = [pick(self.properties, key) for key in ("schema", "table")]
        if pick(self.properties, "table"):
            return tuple(str(part) for part in parts if part)
        name = pick(self.properties, "tableName")
        return tuple(parts_of(str(name))) if name else ()


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
    arguments = {name: view.resolve(value) for name, value in dataset_arguments(found, dataset).items()}
    properties = view.resolve_in(dataset.type_properties, arguments)
    kind = kind_of(dataset.type, dataset.type_properties)
    return Store(
        dataset.name,
        kind,
        connection_of(call, service, arguments),
        _modern(dataset.type, properties),
        schema_columns(dataset.properties),
    )


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
    rest = {key: found for key in _OLD_FILTERS if (found := pick(properties, key))}
    packed = {
        key: pick(properties, "compression") for key in ("compression", "compressionCodec") if pick(properties, "compression")
    }
    return {**(shape if isinstance(shape, Mapping) else {}), **rest, **packed, "location": place}


def connection_of(call: Call, service: Reference, dataset: Mapping[str, Any] | None = None) -> str:
    """The id of the connection for a linked service with the arguments that a reference gives it.

    :param dataset: what ``dataset()`` is in them.
    """
    place = call.view.place
    arguments = {name: call.view.resolve_in(value, dataset or {}) for name, value in service.parameters.items()}
    found = connection_id(service.name, place.factory.linked_service(service.name, place.pipeline.source), arguments)
    if found != conn_id_of(service.name):
        told = ", ".join(f"{name} = {value!r}" for name, value in arguments.items())
        call.log.info("Linked service %r with %s is the connection %s", service.name, told, found)
    return found


def service_of(call: Call) -> str:
    """The id of the connection for the activity's own linked service; :class:`SpecError` when it names none."""
    service = call.activity.linked_service
    if service is None:
        raise SpecError(f"activity {call.activity.name!r}: linkedServiceName: is required")
    return connection_of(call, service)
