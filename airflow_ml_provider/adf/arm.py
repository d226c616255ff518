"""ARM templates: the resources in them, with ``[parameters('…')]`` and ``[concat(…)]`` worked out as far as values are known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf.errors import ExpressionError, shorten
from airflow_ml_provider.adf.expressions import value_of
from airflow_ml_provider.adf.graph import Json
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.adf.syntax import parse_expression

_OWNERS = ("microsoft.datafactory/factories", "microsoft.synapse/workspaces")
_DEPLOYMENT = "microsoft.resources/deployments"
_QUOTED = re.compile(r"'([^']+)'")
_DEEPEST = 8
_DEEPEST_TREE = 200


def is_template(document: Mapping[str, Json]) -> bool:
    """Whether a document is an ARM template."""
    return isinstance(pick(document, "resources"), list | Mapping) and pick(document, "properties") is None


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
        self.problems: list[str] = []
        self.state: dict[str, Any] = {"parameters": {**_values(pick(document, "parameters"), "defaultValue"), **parameters}}
        self.state["variables"] = self._resolved(pick(document, "variables") or {}, 0)
        self.problems.clear()

    def resources(self, depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """The resources of Data Factory and Synapse: ``name``, ``type`` and ``properties``, resolved."""
        yield from self._resources(pick(self.document, "resources"), "", depth)

    def _resources(self, raw: Json, owner: str, depth: int) -> Iterator[Mapping[str, Any]]:
        if isinstance(raw, Mapping):  # by symbolic names, as Bicep writes them
            raw = list(raw.values())
        for one in raw if isinstance(raw, list) and depth <= _DEEPEST else ():
            if not isinstance(one, Mapping):
                continue
            kind = str(pick(one, "type") or "")
            full = f"{owner}/{kind}" if owner and "/" not in kind else kind
            if full.casefold().startswith(_OWNERS):
                properties = self._resolved(pick(one, "properties") or {}, 0)
                yield {"name": self._name(str(pick(one, "name") or "")), "type": full, "properties": properties}
            elif full.casefold() == _DEPLOYMENT:
                yield from self._deployed(pick(one, "properties"), depth)
            yield from self._resources(pick(one, "resources"), full, depth + 1)

    def _deployed(self, properties: Json, depth: int) -> Iterator[Mapping[str, Any]]:
        """A template inside; one that is linked is a file of its own."""
        inner = pick(properties, "template") if isinstance(properties, Mapping) else None
        if isinstance(inner, Mapping):
            given = self._resolved(_values(pick(properties, "parameters"), "value"), 0)
            template = Template(inner, {**self.state["parameters"], **given})
            yield from template.resources(depth + 1)
            self.problems.extend(template.problems)

    def _name(self, written: str) -> str:
        """The last part of a resource's name; of an unknown factory, what is written after the slash."""
        before = len(self.problems)
        found = self._resolved(written, 0)
        if _is_expression(written) and (found == written or "[" in str(found)):
            del self.problems[before:]
            quoted = _QUOTED.findall(written)
            found = quoted[-1] if quoted else written
        return str(found).rpartition("/")[2]

    def _resolved(self, tree: Json, depth: int) -> Json:
        """The tree with its ARM expressions worked out; what has no value stays as it is written, and is told."""
        if isinstance(tree, str):
            return self._text(tree)
        if isinstance(tree, Mapping) and depth <= _DEEPEST_TREE:
            return {key: self._resolved(inner, depth + 1) for key, inner in tree.items()}
        if isinstance(tree, list) and depth <= _DEEPEST_TREE:
            return [self._resolved(inner, depth + 1) for inner in tree]
        return tree

    def _text(self, text: str) -> Json:
        if text.startswith("[["):
            return text[1:]
        if not _is_expression(text):
            return text
        try:
            return value_of(parse_expression(text, 1, len(text) - 1), text, self.state)
        except ExpressionError as error:
            if (problem := f"{shorten(text)!r} stays as it is written: {error.reason}") not in self.problems:
                self.problems.append(problem)
            return text


def _is_expression(text: str) -> bool:
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")
