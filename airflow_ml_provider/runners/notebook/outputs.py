"""What the cells show: printed text, tables, pictures and errors, redacted, kept for the document and copied to the log."""

from __future__ import annotations

import base64
import codecs
import html
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from .redaction import MASK, Redactor

ROWS_SHOWN = 1000
_LONGEST_TEXT = 1 << 20
_LONGEST_CELL = 60
_ROWS_IN_LOG = 20
_LOOKED_BACK = 512

Output = dict[str, Any]


class Table(dict[str, Any]):
    """The forms of a table of ours, whose HTML is safe: every cell in it is escaped."""


class Recorder:
    """Collects the outputs of the cell that runs.

    :param log: where text goes as it comes.
    """

    def __init__(self, redactor: Redactor, log: TextIO) -> None:
        self.redactor = redactor
        self.outputs: list[Output] = []
        self._log = log
        self._said = ""
        self._pending = ""
        self._masked = False
        self._lock = threading.RLock()

    def text(self, name: str, text: str) -> None:
        """Add to the stream ``stdout`` or ``stderr``."""
        with self._lock:
            last = self.outputs[-1] if self.outputs else {}
            if last.get("output_type") == "stream" and last.get("name") == name:
                if len(last["text"]) < _LONGEST_TEXT:
                    last["text"] += text
            elif text:
                self.outputs.append({"output_type": "stream", "name": name, "text": text})
            self.say(text)

    def data(self, bundle: dict[str, Any], *, said: str | None = None) -> None:
        """Add a rich output: its forms by MIME type.

        :param said: what the log says of it, by default its plain text.
        """
        with self._lock:
            metadata = {"airflow_ml_table": True} if isinstance(bundle, Table) else {}
            self.outputs.append({"output_type": "display_data", "data": dict(bundle), "metadata": metadata})
            words = bundle.get("text/plain", "") if said is None else said
            self.say(f"{words}\n" if words else "")

    def error(self, kind: str, message: str, trace: str) -> None:
        """Add the error that ended the cell."""
        with self._lock:
            self.outputs.append({"output_type": "error", "ename": kind, "evalue": message, "traceback": trace.splitlines()})

    def say(self, text: str) -> None:
        """Copy to the log all but what may be the beginning of a secret."""
        with self._lock:
            self._pending += text
            self._copy(min(len(self._pending), self.redactor.held(self._said + self._pending)))

    def finish(self) -> None:
        """Copy what was held back."""
        with self._lock:
            self._copy(0)

    def _copy(self, held: int) -> None:
        """Copy all but the last characters. What was copied before is looked at with it: a secret may have begun there."""
        whole = len(self._pending) - held
        clean = self.redactor.all([self._said, self._pending[:whole], self._pending[whole:]])[1]
        if self._masked and clean.startswith(MASK):
            clean = clean.removeprefix(MASK)  # one mask, however many pieces it came in
        self._masked = clean.endswith(MASK) if clean else self._masked
        self._log.write(clean)
        self._log.flush()
        self._said = (self._said + self._pending[:whole])[-_LOOKED_BACK:] if self.redactor.active else ""
        self._pending = self._pending[whole:]

    def take(self) -> list[Output]:
        """The outputs since the last call."""
        with self._lock:
            taken, self.outputs = self.outputs, []
            return taken


class _Stream(io.TextIOBase):
    """What ``print`` writes to."""

    encoding = "utf-8"

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._name = name

    def write(self, text: str) -> int:
        self._recorder.text(self._name, text)
        return len(text)

    def writable(self) -> bool:
        return True


@contextmanager
def captured(recorder: Recorder) -> Iterator[None]:
    """Have the recorder take what is printed, and what child processes write to this process's own output."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Stream(recorder, "stdout"), _Stream(recorder, "stderr")
    pipes = [_Pipe(recorder, name, descriptor) for name, descriptor in (("stdout", 1), ("stderr", 2))]
    try:
        yield
    finally:
        for pipe in pipes:
            pipe.close()
        sys.stdout, sys.stderr = before
        recorder.finish()


def log_stream() -> TextIO:
    """A way to the log that :func:`captured` leaves open."""
    return os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")


class _Pipe:
    """Stands in for one of the process's file descriptors."""

    def __init__(self, recorder: Recorder, name: str, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved = os.dup(descriptor)
        read, write = os.pipe()
        os.dup2(write, descriptor)
        os.close(write)
        self._thread = threading.Thread(target=_copy, args=(read, recorder, name), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Put the descriptor back. A process left in the background does not keep the notebook from its end."""
        os.dup2(self._saved, self._descriptor)
        os.close(self._saved)
        self._thread.join(timeout=1.0)


def _copy(read: int, recorder: Recorder, name: str) -> None:
    with os.fdopen(read, "r", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            recorder.text(name, line)


def show_until(mark: str, stream: Any, recorder: Recorder, there: threading.Event) -> None:
    """Show what a process writes; each mark in it, whose first character nothing else has, sets ``there``, and so does its end."""
    decoder, held = codecs.getincrementaldecoder("utf-8")("replace"), ""
    while data := stream.read1():
        *whole, held = (held + decoder.decode(data)).split(mark)
        for text in whole:
            recorder.text("stdout", text)
            there.set()
        if mark[0] not in held:
            recorder.text("stdout", held)
            held = ""
    recorder.text("stdout", held)
    there.set()


def bundle_of(value: Any, recorder: Recorder) -> dict[str, Any]:
    """How a value is shown: a Spark or pandas table, a picture, HTML, or its ``repr``."""
    if _is_spark_table(value):
        return _spark_table(value, recorder)
    if png := _picture(value):
        return {"image/png": png, "text/plain": f"<{type(value).__name__}>"}
    bundle: dict[str, Any] = {"text/plain": repr(value)}
    to_html = getattr(value, "_repr_html_", None)
    if callable(to_html) and not isinstance(value, type) and (text := to_html()):
        bundle["text/html"] = str(text)
    return bundle


def show_figures(recorder: Recorder) -> None:
    """Show and close what ``pyplot`` has open."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        recorder.data(bundle_of(pyplot.figure(number), recorder))
        pyplot.close(number)


def _is_spark_table(value: Any) -> bool:
    return type(value).__module__.startswith("pyspark.sql") and type(value).__name__ == "DataFrame"


def _spark_table(table: Any, recorder: Recorder) -> Table:
    rows = [["null" if value is None else str(value) for value in row] for row in table.limit(ROWS_SHOWN).collect()]
    return table_bundle(list(table.columns), rows, recorder)


def table_bundle(columns: list[str], rows: list[list[str]], recorder: Recorder) -> Table:
    """A table as HTML and as text. A secret is looked for along the rows and down the columns."""
    for at in range(len(columns)):
        for row, cell in zip(rows, recorder.redactor.all([row[at] for row in rows]), strict=True):
            row[at] = cell
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    note = f"<p>The first {ROWS_SHOWN} rows.</p>" if len(rows) == ROWS_SHOWN else ""
    more = f"\n… {len(rows)} rows" if len(rows) > _ROWS_IN_LOG else ""
    page = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"
    return Table({"text/html": page, "text/plain": _text_table(columns, rows[:_ROWS_IN_LOG]) + more})


def _text_table(columns: list[str], rows: list[list[str]]) -> str:
    table = [[cell[:_LONGEST_CELL] for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[at]) for row in table) for at in range(len(columns))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "-+-".join("-" * width for width in widths), *lines[1:]])


def _picture(value: Any) -> str | None:
    figure: Any = value if hasattr(value, "savefig") else getattr(value, "figure", None)
    if not type(value).__module__.startswith("matplotlib") or not hasattr(figure, "savefig"):
        return None
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode()
