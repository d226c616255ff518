"""ARM templates: the resources in them, with ``[parameters('…')]``, ``[concat(…)]`` and the like worked out as far as values are known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf.arm_functions import ARM_FUNCTIONS, ELSEWHERE
from airflow_ml_provider.adf.errors import EvaluationError, ExpressionError, shorten
from airflow_ml_provider.adf.expressions import Evaluation
from airflow_ml_provider.adf.graph import Json
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.adf.syntax import Call, Literal, Node, Select, parse_expression

_OWNERS = ("microsoft.datafactory/factories", "microsoft.synapse/workspaces")
_DEPLOYMENT = "microsoft.resources/deployments"
_QUOTED = re.compile(r"'([^']+)'")
_DEEPEST = 8
_DEEPEST_TREE = 200
_DEEPEST_VARIABLE = 20


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
        self.parameters: dict[str, Json] = {**_values(pick(document, "parameters"), "defaultValue"), **parameters}
        found = pick(document, "variables")
        self.variables: Mapping[str, Json] = found if isinstance(found, Mapping) else {}

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
            template = Template(inner, {**self.parameters, **given})
            yield from template.resources(depth + 1)
            self.problems.extend(template.problems)

    def _name(self, written: str) -> str:
        """The last part of a resource's name."""
        found = self._named(written)
        if _is_expression(found) and (quoted := _QUOTED.findall(written)):
            found = quoted[-1]
        name = found.rpartition("/")[2]
        if "{" in name and _is_expression(written):
            self._tell(
                f"{shorten(written)!r}: what is in {{…}} is not in the template: it is named {name!r} here, give values as parameters"
            )
        return name

    def _named(self, written: str) -> str:
        """A name; what is not known of it stands in it as ``{…}``, so that those who refer to it by the same words find it."""
        try:
            found = self.value(written, symbolic=True)
        except ExpressionError:
            return written
        return found if isinstance(found, str) else written

    def _resolved(self, tree: Json, depth: int) -> Json:
        """The tree with its ARM expressions worked out; what has no value stays as it is written, and is told."""
        if isinstance(tree, str):
            return self._text(tree)
        if isinstance(tree, Mapping) and depth <= _DEEPEST_TREE:
            return {key: self._reference(key, inner) or self._resolved(inner, depth + 1) for key, inner in tree.items()}
        if isinstance(tree, list) and depth <= _DEEPEST_TREE:
            return [self._resolved(inner, depth + 1) for inner in tree]
        return tree

    def _reference(self, key: str, value: Json) -> str | None:
        """The name in a reference."""
        if str(key).casefold() != "referencename" or not isinstance(value, str) or not _is_expression(value):
            return None
        found = self._named(value)
        return None if _is_expression(found) else found

    def _text(self, text: str) -> Json:
        try:
            return self.value(text)
        except ExpressionError as error:
            self._tell(f"{shorten(text)!r} stays as it is written: {error.reason}")
            return text

    def _tell(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def value(self, text: str, depth: int = 0, *, symbolic: bool = False) -> Json:
        """The value of a text.

        :param symbolic: what is not known becomes a text, ``{…}``.
        :raises ExpressionError: it has none.
        """
        if text.startswith("[["):
            return text[1:]
        if not _is_expression(text):
            return text
        return _Worked(text, self, depth, symbolic).value(parse_expression(text, 1, len(text) - 1))

    def of(self, kind: str, name: str, depth: int, *, symbolic: bool) -> Json:
        """The value of a parameter or a variable, which may be an expression itself.

        :raises EvaluationError: there is none of that name, or it is made of itself.
        """
        bag = self.parameters if kind == "parameters" else self.variables
        key = next((one for one in bag if one.casefold() == name.casefold()), None)
        if key is None:
            raise EvaluationError(f"the {kind.removesuffix('s')} {name!r} has no value: give it one in a parameter file")
        if depth > _DEEPEST_VARIABLE:
            raise EvaluationError(f"the {kind.removesuffix('s')} {name!r} is made of itself")
        return self._inside(bag[key], depth + 1, symbolic)

    def _inside(self, tree: Json, depth: int, symbolic: bool) -> Json:
        if isinstance(tree, str):
            return self.value(tree, depth, symbolic=symbolic)
        if isinstance(tree, Mapping) and depth <= _DEEPEST_TREE:
            return {key: self._inside(inner, depth, symbolic) for key, inner in tree.items()}
        return [self._inside(inner, depth, symbolic) for inner in tree] if isinstance(tree, list) else tree


class _Worked(Evaluation):
    """One text of a template."""

    functions = ARM_FUNCTIONS
    references = frozenset({"parameters", "variables"})

    def __init__(self, text: str, template: Template, depth: int, symbolic: bool) -> None:
        super().__init__(text, {})
        self.template, self.depth, self.symbolic = template, depth, symbolic

    def value(self, node: Node) -> Any:
        if not (self.symbolic and self._is_unknown(node)):
            return super().value(node)
        return "{" + _written(node).replace("/", "_") + "}"

    def _is_unknown(self, node: Node) -> bool:
        """Whether it comes from Azure, or from a parameter without a value."""
        while isinstance(node, Select):
            node = node.target
        if not isinstance(node, Call):
            return False
        if node.name.casefold() in ELSEWHERE:
            return True
        if node.name.casefold() != "parameters" or len(node.arguments) != 1 or not isinstance(node.arguments[0], Literal):
            return False
        name = str(node.arguments[0].value).casefold()
        return not any(one.casefold() == name for one in self.template.parameters)

    def _called(self, call: Call) -> Any:
        if why := ELSEWHERE.get(call.name.casefold()):
            raise EvaluationError(f"{call.name} is not in a template ({why}): give the value in its place, or as a parameter")
        return super()._called(call)

    def _named(self, name: str, key: str) -> Any:
        return self.template.of(name, key, self.depth, symbolic=self.symbolic)


def _written(node: Node) -> str:
    """An expression as text; a parameter as its name."""
    if isinstance(node, Literal):
        return str(node.value)
    if isinstance(node, Select):
        return f"{_written(node.target)}.{_written(node.key)}"
    if isinstance(node, Call):
        inside = ", ".join(map(_written, node.arguments))
        return inside if node.name.casefold() == "parameters" else f"{node.name}({inside})"
    return "".join(map(_written, node.parts))


def _is_expression(text: str) -> bool:
    return text.startswith("[") and text.endswith("]") and not text.startswith("[[")
