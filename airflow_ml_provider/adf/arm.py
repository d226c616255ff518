"""ARM templates: the resources in them, with ``[parameters('…')]`` and ``[concat(…)]`` worked out as far as values are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf.graph import Json
from airflow_ml_provider.adf.reading import pick

_OWNERS = ("microsoft.datafactory/factories", "microsoft.synapse/workspaces")
_DEEPEST = 8


def is_template(document: Mapping[str, Json]) -> bool:
    """Whether a document is an ARM template."""
    return isinstance(pick(document, "resources"), list) and pick(document, "properties") is None


def is_parameter_file(document: Mapping[str, Json]) -> bool:
    """Whether a document holds values for a template's parameters."""
    return "deploymentparameters.json" in str(pick(document, "$schema") or "").casefold()


def parameter_files(documents: Mapping[PurePath, Mapping[str, Json]]) -> dict[PurePath, dict[str, Json]]:
    """The values in parameter files, by the folder they lie in."""
    found: dict[PurePath, dict[str, Json]] = {}
    for source, document in documents.items():
        if is_parameter_file(document):
            found.setdefault(source.parent, {}).update(_values(pick(document, "parameters"), "value"))
    return found


def _values(raw: Json, key: str) -> dict[str, Json]:
    bags = raw if isinstance(raw, Mapping) else {}
    return {name: pick(bag, key) for name, bag in bags.items() if isinstance(bag, Mapping) and pick(bag, key) is not None}


class Template:
    """One template.

    :param parameters: values that go before its own defaults.
    """

    def __init__(self, document: Mapping[str, Json], parameters: Mapping[str, Json]) -> None:
        self.document = document
        self.parameters = {**_values(pick(document, "parameters"), "defaultValue"), **parameters}
        self.problems: list[str] = []

    def resources(self) -> Iterator[Mapping[str, Any]]:
        """The resources of Data Factory and Synapse: ``name``, ``type`` and ``properties``, resolved."""
        yield from self._resources(pick(self.document, "resources"), "")

    def _resources(self, raw: Json, owner: str) -> Iterator[Mapping[str, Any]]:
        for one in raw if isinstance(raw, list) else ():
            if not isinstance(one, Mapping):
                continue
            kind = str(pick(one, "type") or "")
            full = f"{owner}/{kind}" if owner and "/" not in kind else kind
            if full.casefold().startswith(_OWNERS):
                name = str(pick(one, "name") or "").rstrip("]')").rpartition("/")[2].strip("'")
                yield {"name": name, "type": full, "properties": pick(one, "properties") or {}}
            yield from self._resources(pick(one, "resources"), full)
