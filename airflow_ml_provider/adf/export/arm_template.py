"""ARM templates: the resources in them, with ``[parameters('…')]``, ``[concat(…)]`` and the like worked out as far as values are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from airflow_ml_provider.adf.errors import EvaluationError, ExpressionError, shorten
from airflow_ml_provider.adf.export.arm_functions import ARM_FUNCTIONS, ELSEWHERE
from airflow_ml_provider.adf.expressions.evaluator import Evaluation
from airflow_ml_provider.adf.expressions.grammar import Call, Literal, Node, Select, parse_expression
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import Json

_OWNERS = ("microsoft.datafactory/factories", "microsoft.synapse/workspaces")
_DEPLOYMENT = "microsoft.resources/deployments"
_QUOTED = re.compile(r"'([^']+)'")
_DEEPEST = 8
_DEEPEST_TREE = 200
_DEEPEST_VARIABLE = 20
_MOST_COPIES, _MOST_OF_ALL = 800, 20_000
"""As many as Azure makes of one resource, one property or one variable."""


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
    :param copies: those around it.
    """

    def __init__(self, document: Mapping[str, Json], parameters: Mapping[str, Json], copies: Copies | None = None) -> None:
        self.document = document
        self.problems: list[str] = []
        self.parameters: dict[str, Json] = {**_values(pick(document, "parameters"), "defaultValue"), **parameters}
        found = pick(document, "variables")
        self.variables: Mapping[str, Json] = found if isinstance(found, Mapping) else {}
        self.copies = copies or Copies()

    def resources(self, depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """The resources of Data Factory and Synapse: ``name``, ``type`` and ``properties``, resolved."""
        yield from self._resources(pick(self.document, "resources"), "", depth)

    def _resources(self, raw: Json, owner: str, depth: int) -> Iterator[Mapping[str, Any]]:
        if isinstance(raw, Mapping):  # by symbolic names, as Bicep writes them
            raw = list(raw.values())
        for one in raw if isinstance(raw, list) and depth <= _DEEPEST else ():
            if isinstance(one, Mapping):
                yield from self._each(one, owner, depth)

    def _each(self, one: Mapping[str, Any], owner: str, depth: int) -> Iterator[Mapping[str, Any]]:
        """A resource, or each of its copies."""
        loop = pick(one, "copy")
        if not isinstance(loop, Mapping):
            yield from self._resource(one, owner, depth)
            return
        try:
            count = self._count(loop)
        except ExpressionError as error:
            self._tell(f"the copies of {shorten(str(pick(one, 'name')))!r} count as one: {error.reason}")
            yield from self._resource(one, owner, depth)
            return
        for index in range(count):
            with self.copies.at(str(pick(loop, "name")), index):
                yield from self._resource(one, owner, depth)

    def _count(self, loop: Mapping[str, Any], depth: int = 0) -> int:
        """How many copies there are; :class:`EvaluationError` when that is not known."""
        raw = pick(loop, "count")
        found = self.value(raw, depth) if isinstance(raw, str) else raw
        if type(found) is not int or not 0 <= found <= _MOST_COPIES:
            raise EvaluationError(f"copy.count: got {found!r}: takes 0 to {_MOST_COPIES}")
        return self.copies.counted(found)

    def _resource(self, one: Mapping[str, Any], owner: str, depth: int) -> Iterator[Mapping[str, Any]]:
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
            template = Template(inner, {**self.parameters, **given}, self.copies)
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
            kept, made = self._copied(tree, lambda inner: self._resolved(inner, depth + 1))
            return {key: self._reference(key, inner) or self._resolved(inner, depth + 1) for key, inner in kept.items()} | made
        if isinstance(tree, list) and depth <= _DEEPEST_TREE:
            return [self._resolved(inner, depth + 1) for inner in tree]
        return tree

    def _copied(
        self, tree: Mapping[str, Json], work: Callable[[Json], Json], depth: int = 0
    ) -> tuple[Mapping[str, Json], dict[str, Json]]:
        """An object without its ``copy``, and the arrays that this makes."""
        loops = tree.get("copy")
        if not isinstance(loops, list) or not loops or not all(isinstance(one, Mapping) and "input" in one for one in loops):
            return tree, {}
        try:
            made = {str(one.get("name")): self._array(one, work, depth) for one in loops}
        except ExpressionError as error:
            self._tell(f"copy stays as it is written: {error.reason}")
            return tree, {}
        return {key: value for key, value in tree.items() if key != "copy"}, made

    def _array(self, loop: Mapping[str, Json], work: Callable[[Json], Json], depth: int) -> list[Json]:
        found = []
        for index in range(self._count(loop, depth)):
            with self.copies.at(str(loop.get("name")), index):
                found.append(work(loop["input"]))
        return found

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
        if depth > _DEEPEST_VARIABLE:
            raise EvaluationError(f"the {kind.removesuffix('s')} {name!r} is made of itself")
        if kind == "variables" and (loop := self._loop_of(name)):
            return self._array(loop, lambda inner: self._inside(inner, depth + 1, symbolic), depth + 1)
        key = next((one for one in bag if one.casefold() == name.casefold()), None)
        if key is None:
            raise EvaluationError(f"the {kind.removesuffix('s')} {name!r} has no value: give it one in a parameter file")
        return self._inside(bag[key], depth + 1, symbolic)

    def _loop_of(self, name: str) -> Mapping[str, Json] | None:
        """The loop that makes a variable."""
        loops = self.variables.get("copy")
        known = [one for one in loops if isinstance(one, Mapping) and "input" in one] if isinstance(loops, list) else []
        return next((one for one in known if str(one.get("name")).casefold() == name.casefold()), None)

    def _inside(self, tree: Json, depth: int, symbolic: bool) -> Json:
        if isinstance(tree, str):
            return self.value(tree, depth, symbolic=symbolic)
        if isinstance(tree, Mapping) and depth <= _DEEPEST_TREE:
            kept, made = self._copied(tree, lambda inner: self._inside(inner, depth, symbolic), depth)
            return {key: self._inside(inner, depth, symbolic) for key, inner in kept.items()} | made
        return [self._inside(inner, depth, symbolic) for inner in tree] if isinstance(tree, list) else tree


class Copies:
    """The numbers of the copies that are being made, by the loops' names in lower case; the innermost is the last."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._made = 0

    def counted(self, more: int) -> int:
        """As many more copies; :class:`EvaluationError` when there are too many of all loops together."""
        self._made += more
        if self._made > _MOST_OF_ALL:
            raise EvaluationError(f"copy.count: the loops make more than {_MOST_OF_ALL} copies together")
        return more

    @contextmanager
    def at(self, name: str, index: int) -> Iterator[None]:
        before = self.numbers
        self.numbers = {key: number for key, number in before.items() if key != name.casefold()} | {name.casefold(): index}
        try:
            yield
        finally:
            self.numbers = before

    def index(self, *arguments: Any) -> int:
        """``copyIndex()``, ``copyIndex(offset)``, ``copyIndex('name')`` or ``copyIndex('name', offset)``."""
        name, *rest = arguments if arguments and isinstance(arguments[0], str) else ("", *arguments)
        if len(rest) > 1 or not all(type(one) is int for one in rest):
            raise EvaluationError("takes a loop's name and an offset")
        found: int | None = self.numbers.get(name.casefold()) if name else next(reversed(self.numbers.values()), None)
        if found is None:
            raise EvaluationError(f"there is no loop {name!r} around it" if name else "there is no loop around it")
        return found + (rest[0] if rest else 0)


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
        if node.name.casefold() in ELSEWHERE or (node.name.casefold() == "copyindex" and not self.template.copies.numbers):
            return True
        if node.name.casefold() != "parameters" or len(node.arguments) != 1 or not isinstance(node.arguments[0], Literal):
            return False
        name = str(node.arguments[0].value).casefold()
        return not any(one.casefold() == name for one in self.template.parameters)

    def _called(self, call: Call) -> Any:
        if why := ELSEWHERE.get(call.name.casefold()):
            raise EvaluationError(f"{call.name} is not in a template ({why}): give the value in its place, or as a parameter")
        if call.name.casefold() == "copyindex":
            return self.template.copies.index(*(self.value(one) for one in call.arguments))
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
