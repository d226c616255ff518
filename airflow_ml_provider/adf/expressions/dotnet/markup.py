"""XML as .NET's documents hold it, write it, and turn into JSON and back. No document types: nothing is expanded or fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from airflow_ml_provider.adf.expressions.dotnet import json

DEEPEST = 64
_DECLARATION = re.compile(r"<\?xml\s+(?P<body>[^?]*)\?>")
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_NAME = re.compile(r"[^\W\d][\w.-]*(:[^\W\d][\w.-]*)?")


@dataclass(slots=True)
class Element:
    """An element with what is in it: elements, and pairs of a kind (``text``, ``cdata``, ``comment``) and a text.

    :param closed: written as ``<a/>``.
    """

    name: str
    attributes: dict[str, str]
    children: list[Element | tuple[str, str]] = field(default_factory=list)
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    root: Element
    declaration: str = ""


def parse(text: str) -> Document:
    """The document in a text; white space between elements is dropped.

    :raises ValueError: it is not well formed, or has a document type.
    """
    text = text.removeprefix("\ufeff")
    builder = _Builder()
    try:
        root = builder.build(text)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {error}") from error
    declaration = _DECLARATION.match(text)
    return Document(root, declaration["body"].strip() if declaration else "")


class _Builder:
    def __init__(self) -> None:
        self.top = Element("", {})
        self.open = [self.top]
        self.in_cdata = False
        self.begun = -1

    def build(self, text: str) -> Element:
        self.data = text.encode("utf-8", "replace")
        self.parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.CommentHandler = lambda data: self.open[-1].children.append(("comment", data))
        parser.StartCdataSectionHandler = self._start_cdata
        parser.EndCdataSectionHandler = self._end_cdata
        parser.StartDoctypeDeclHandler = self._no_type
        parser.Parse(self.data, True)
        _drop_space(self.top)
        return next(child for child in self.top.children if isinstance(child, Element))

    def _start(self, name: str, attributes: list[str]) -> None:
        if len(self.open) > DEEPEST:
            raise ValueError(f"XML deeper than {DEEPEST}")
        element = Element(name, dict(zip(attributes[::2], attributes[1::2], strict=True)))
        self.open[-1].children.append(element)
        self.open.append(element)
        self.begun = self.parser.CurrentByteIndex

    def _end(self, _: str) -> None:
        element = self.open.pop()
        at = self.parser.CurrentByteIndex
        element.closed = not element.children and (at == self.begun or self.data.endswith(b"/>", 0, at))

    def _text(self, data: str) -> None:
        self.open[-1].children.append(("cdata" if self.in_cdata else "text", data))

    def _start_cdata(self) -> None:
        self.in_cdata = True

    def _end_cdata(self) -> None:
        self.in_cdata = False

    def _no_type(self, *_: Any) -> None:
        raise ValueError("got a document type: takes XML without one")


def _drop_space(element: Element) -> None:
    element.children = [
        child for child in element.children if isinstance(child, Element) or child[0] != "text" or child[1].strip()
    ]
    for child in element.children:
        if isinstance(child, Element):
            _drop_space(child)


def dumps(document: Document | Element) -> str:
    """The document in one line."""
    if isinstance(document, Document):
        head = f"<?xml {document.declaration}?>" if document.declaration else ""
        return head + "".join(_write(document.root))
    return "".join(_write(document))


def _write(element: Element) -> Iterator[str]:
    attributes = "".join(f' {name}="{_escape(value).replace(chr(34), "&quot;")}"' for name, value in element.attributes.items())
    if element.closed:
        yield f"<{element.name}{attributes} />"
        return
    yield f"<{element.name}{attributes}>"
    for child in element.children:
        if isinstance(child, Element):
            yield from _write(child)
        else:
            yield {"text": _escape(child[1]), "cdata": f"<![CDATA[{child[1]}]]>", "comment": f"<!--{child[1]}-->"}[child[0]]
    yield f"</{element.name}>"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_json(document: Document) -> dict[str, Any]:
    """Json.NET's form: attributes with ``@``, texts beside elements as ``#text``, repeated elements as an array."""
    found: dict[str, Any] = {}
    if document.declaration:
        found["?xml"] = {f"@{name}": one or other for name, one, other in _ATTRIBUTE.findall(document.declaration)}
    return {**found, document.root.name: _value(document.root)}


def _value(element: Element) -> Any:
    children = [child for child in element.children if isinstance(child, Element) or child[0] != "comment"]
    if not element.attributes and not children:
        return None if element.closed else {} if element.children else ""
    texts = [child for child in children if not isinstance(child, Element)]
    if not element.attributes and len(children) == len(texts) == 1 and texts[0][0] == "text":
        return texts[0][1]
    found: dict[str, list[Any]] = {f"@{name}": [value] for name, value in element.attributes.items()}
    for child in children:
        if isinstance(child, Element):
            found.setdefault(child.name, []).append(_value(child))
        else:
            found.setdefault("#text" if child[0] == "text" else "#cdata-section", []).append(child[1])
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def from_json(value: dict[str, Any]) -> Document:
    """The document of an object with one property (and ``?xml`` for the declaration).

    :raises ValueError: it has more, or a name that no element can have.
    """
    roots = [(name, inner) for name, inner in value.items() if name != "?xml"]
    if len(roots) != 1 or isinstance(roots[0][1], list):
        raise ValueError("got an object without exactly one root: takes one property, which is no array")
    declared = value.get("?xml")
    head = declared if isinstance(declared, dict) else {}
    declaration = " ".join(f'{name.removeprefix("@")}="{text}"' for name, text in head.items())
    return Document(_element(*roots[0], 0), declaration)


def _element(name: str, value: Any, depth: int) -> Element:
    if not _NAME.fullmatch(name) or depth > DEEPEST:
        raise ValueError(f"got {name!r}: takes the name of an element, at most {DEEPEST} deep")
    if not isinstance(value, dict):
        return Element(name, {}, [] if value in (None, "") else [("text", _text(value))], closed=value is None)
    element = Element(name, {})
    for key, inner in value.items():
        if key.startswith("@") and not isinstance(inner, (dict, list)):
            element.attributes[key[1:]] = _text(inner)
        elif key == "#text":
            element.children.append(("text", _text(inner)))
        elif key == "#cdata-section":
            element.children.append(("cdata", _text(inner)))
        else:
            element.children.extend(_element(key, one, depth + 1) for one in (inner if isinstance(inner, list) else [inner]))
    element.closed = not element.children
    return element


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
