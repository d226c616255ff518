"""XPath, with lxml: the standard library knows neither its functions nor its axes. Imported when an expression first asks for it."""

from __future__ import annotations

from typing import Any

from airflow_ml_provider.core.errors import ConfigurationError


def select(document: str, path: str) -> Any:
    """What a path finds: a list of ``(is it an element, text)``, or a string, a float, a flag.

    :raises ValueError: the path is not well formed, or finds what the language has no value for.
    """
    try:
        from lxml import etree  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigurationError("xpath() of Data Factory needs 'lxml': pip install 'airflow-ml-provider[adf]'") from error
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=True)
    try:
        root = etree.fromstring(document.encode("utf-8", "replace"), parser)
        found = etree.XPath(path, smart_strings=True)(root)
    except (etree.LxmlError, ValueError) as error:
        raise ValueError(f"got the path {path[:80]!r}: takes an XPath expression: {error}") from error
    return [_found(one) for one in found] if isinstance(found, list) else _plain(found)


def _found(node: Any) -> tuple[bool, str]:
    if isinstance(node, str):
        name = getattr(node, "attrname", None)
        escaped = node.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return False, f'{name}="{escaped}"' if name else str(node)
    if not isinstance(getattr(node, "tag", None), str):
        raise ValueError("the path finds a node that is no element, attribute or text")
    return True, _written(node)


def _written(node: Any) -> str:
    from lxml import etree

    from airflow_ml_provider.adf.expressions.dotnet import markup

    return markup.dumps(markup.parse(etree.tostring(node, encoding="unicode", with_tail=False)))


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, float)) else str(value)
