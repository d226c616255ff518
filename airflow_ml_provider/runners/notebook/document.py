"""The executed notebook as ``.ipynb`` and as one HTML page that needs nothing else. Pure."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .cells import Cell
from .redaction import Redactor

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#1b1f24}
pre{background:#f6f8fa;padding:.7em;overflow:auto;border-radius:6px;font-size:13px}
pre.out{background:none;margin:.3em 0 .3em 1em;padding:.2em .7em}pre.err,.failed>pre.src{border-left:4px solid #cf222e}
pre.err{background:#ffebe9}table{border-collapse:collapse;font-size:13px;margin:.5em 1em}
td,th{border:1px solid #d0d7de;padding:.2em .6em;text-align:left}.no{color:#6e7781;font-size:12px;margin:1.2em 0 0}
img{max-width:100%}.sum{color:#6e7781}
"""

_BINARY = ("image/png", "image/jpeg", "image/gif", "application/pdf")


@dataclass
class Ran:
    """One cell and what became of it.

    :param state: ``ok``, ``failed``, ``exited``, or ``skipped`` when an earlier cell ended the notebook.
    """

    cell: Cell
    outputs: list[dict[str, Any]] = field(default_factory=list)
    state: str = "skipped"
    seconds: float = 0.0


def redact(cells: list[Ran], redactor: Redactor) -> None:
    """Mask secrets in every output, also those that one cell begins and the next one goes on with."""
    if not redactor.active:
        return
    leaves = [leaf for ran in cells for output in ran.outputs for leaf in _leaves(output)]
    clean = redactor.all([holder[key] for holder, key in leaves])
    for (holder, key), text in zip(leaves, clean, strict=True):
        holder[key] = text


def _leaves(output: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Where the texts of an output stand, also those in JSON and SVG."""
    for key in ("text", "ename", "evalue", "traceback"):
        yield from _texts(output, key)
    for mime in output.get("data", {}):
        if mime not in _BINARY:
            yield from _texts(output["data"], mime)


def _texts(holder: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    value = holder[key] if isinstance(holder, list) else holder.get(key)
    if isinstance(value, str):
        yield holder, key
    elif isinstance(value, list):
        for at in range(len(value)):
            yield from _texts(value, at)
    elif isinstance(value, dict):
        for name in value:
            yield from _texts(value, name)


def to_ipynb(cells: list[Ran], *, language: str, facts: dict[str, Any]) -> str:
    """The document of Jupyter's format 4.5."""
    names = {"python": "python3", "r": "ir", "scala": "scala", "sql": "sql"}
    kernel = names.get(language, language)
    metadata = {
        "kernelspec": {"name": kernel, "display_name": kernel, "language": language},
        "language_info": {"name": language},
        "airflow_ml": facts,
    }
    made = [_ipynb_cell(number, ran) for number, ran in enumerate(cells, 1)]
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1, ensure_ascii=False)


def _ipynb_cell(number: int, ran: Ran) -> dict[str, Any]:
    metadata: dict[str, Any] = {"tags": list(ran.cell.tags), "airflow_ml": {"state": ran.state, "seconds": round(ran.seconds, 3)}}
    if ran.cell.title:
        metadata["title"] = ran.cell.title
    if ran.cell.language == "md":
        return {"cell_type": "markdown", "id": f"cell-{number}", "metadata": metadata, "source": ran.cell.source}
    count = None if ran.state == "skipped" else number
    made = {"cell_type": "code", "id": f"cell-{number}", "metadata": metadata, "source": ran.cell.original}
    return made | {"execution_count": count, "outputs": ran.outputs}


def to_html(name: str, cells: list[Ran], facts: dict[str, Any]) -> str:
    """A page with every cell and its outputs, the failing one marked. HTML of the notebook's own runs in frames without rights."""
    known = " · ".join(f"{key}: {html.escape(str(value))}" for key, value in facts.items() if value not in (None, "", {}))
    body = "".join(_html_cell(number, ran) for number, ran in enumerate(cells, 1))
    title = html.escape(name)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html><head>{head}</head><body><h1>{title}</h1><p class="sum">{known}</p>{body}</body></html>'


def _html_cell(number: int, ran: Ran) -> str:
    if ran.cell.language == "md":
        return f"<section>{markdown(ran.cell.source)}</section>"
    title = f" {html.escape(ran.cell.title)}" if ran.cell.title else ""
    took = f" · {ran.seconds:.1f} s" if ran.state != "skipped" else ""
    head = f'<p class="no">Cell {number}{title} · {ran.state}{took}</p><pre class="src">{html.escape(ran.cell.original)}</pre>'
    return f'<section class="{ran.state}">{head}{"".join(map(_html_output, ran.outputs))}</section>'


def _html_output(output: dict[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return f'<pre class="out">{html.escape(output["text"])}</pre>'
    if kind == "error":
        lines = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output["traceback"]))
        return f'<pre class="out err">{html.escape(lines)}</pre>'
    data = output.get("data", {})
    if "image/png" in data:
        return f'<p><img alt="" src="data:image/png;base64,{data["image/png"]}"></p>'
    if "text/html" in data:
        text = data["text/html"]
        if output.get("metadata", {}).get("airflow_ml_table"):
            return str(text)
        return f'<iframe sandbox srcdoc="{html.escape(text)}" width="100%" height="300" frameborder="0"></iframe>'
    return f'<pre class="out">{html.escape(str(data.get("text/plain", "")))}</pre>'


def markdown(text: str) -> str:
    """Headings, lists, code, emphasis and links of Markdown as HTML; everything else as text."""
    parts = re.split(r"^```.*?$\n?(.*?)^```\s*$", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(f"<pre>{html.escape(part)}</pre>" if at % 2 else _blocks(part) for at, part in enumerate(parts))


def _blocks(text: str) -> str:
    made = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        while lines and (heading := re.match(r"(#{1,6})\s*(.+)", lines[0])):
            size = len(heading[1])
            made.append(f"<h{size}>{_inline(heading[2])}</h{size}>")
            lines.pop(0)
        if lines and all(re.match(r"\s*[-*+]\s", line) for line in lines):
            made.append("<ul>" + "".join(f"<li>{_inline(line.strip()[2:])}</li>" for line in lines) + "</ul>")
        elif lines:
            made.append(f"<p>{'<br>'.join(map(_inline, lines))}</p>")
    return "".join(made)


def _inline(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"\*(\S.*?)\*", r"<i>\1</i>", text)
    return re.sub(r"\[([^\]]+)\]\((https?://[^\s)\"]+)\)", r'<a href="\2">\1</a>', text)
