"""What the cells show: printed text, tables, pictures and errors, kept for the document and copied, masked, to the log.

Every output is bounded. What does not fit is left out of the document, with a note in its place; the log has all printed text.
"""

from __future__ import annotations

import base64
import codecs
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from .redaction import Redactor
from .tables import Table, is_spark_table, spark_table

TEXT_OF_CELL = 1 << 20
"""Characters that a cell may print."""
LONGEST_OUTPUT = 4 << 20
"""Characters of one form of one output: HTML, a picture in Base64, JSON, the message of an error."""
OUTPUTS_OF_CELL = 500
OUTPUTS_OF_NOTEBOOK = 16 << 20
"""Characters of all outputs of a notebook, and of those that it runs."""
_SAID = 1 << 16

Output = dict[str, Any]


class Recorder:
    """Collects the outputs of the cell that runs.

    :param log: where text goes as it comes.
    """

    def __init__(self, redactor: Redactor, log: TextIO) -> None:
        self.redactor = redactor
        self.outputs: list[Output] = []
        self._log = log
        self._pending = ""
        self._text_left = TEXT_OF_CELL
        self._left = OUTPUTS_OF_NOTEBOOK
        self._is_full = False
        self._lock = threading.RLock()

    def text(self, name: str, text: str) -> None:
        """Add to the stream ``stdout`` or ``stderr``."""
        with self._lock:
            self.say(text)
            if not text or self._text_left < 0:
                return
            room = min(self._text_left, self._left)
            self._text_left -= len(text)
            if len(text) > room:
                text, self._text_left = self._cut(text, room), -1
            self._left -= len(text)
            self._stream(name).append(text)

    def data(self, bundle: dict[str, Any], *, said: str | None = None) -> None:
        """Add a rich output: its forms by MIME type.

        :param said: what the log says of it, by default its plain text.
        """
        forms = self._bounded(bundle)
        metadata = {"airflow_ml_table": True} if isinstance(bundle, Table) else {}
        words = forms.get("text/plain", "") if said is None else said
        with self._lock:
            self.say(f"{self.redactor.shortened(words, _SAID)}\n" if words else "")
            self._add({"output_type": "display_data", "data": forms, "metadata": metadata}, sum(map(_size, forms.values())))

    def error(self, kind: str, message: str, trace: str) -> None:
        """Add the error that ended the cell."""
        message, trace = (self._fitting(text, LONGEST_OUTPUT // 8) for text in (message, trace))
        output = {"output_type": "error", "ename": kind, "evalue": message, "traceback": trace.splitlines()}
        with self._lock:
            self.outputs.append(output)  # small, and worth more than all others

    def say(self, text: str) -> None:
        """Copy to the log all but what may be the beginning of a secret whose rest is still to come."""
        with self._lock:
            pending = self._pending + text
            whole = self.redactor.whole(pending)
            self._pending = pending[whole:]
            self._copy(pending[:whole])

    def finish(self) -> None:
        """Copy what was held back."""
        with self._lock:
            rest, self._pending = self._pending, ""
            self._copy(rest)

    def take(self) -> list[Output]:
        """The outputs since the last call."""
        with self._lock:
            taken, self.outputs = self.outputs, []
            self._text_left, self._is_full = TEXT_OF_CELL, False
        for output in taken:
            if output["output_type"] == "stream":
                output["text"] = "".join(output["text"])
        return taken

    def _copy(self, text: str) -> None:
        if text:
            self._log.write(self.redactor(text))
            self._log.flush()

    def _stream(self, name: str) -> list[str]:
        """The pieces of the stream that goes on."""
        last = self.outputs[-1] if self.outputs else {}
        if last.get("output_type") != "stream" or last.get("name") != name:
            if not self._add({"output_type": "stream", "name": name, "text": []}, 0):
                return []
            last = self.outputs[-1]
        pieces: list[str] = last["text"]
        return pieces

    def _cut(self, text: str, room: int) -> str:
        """What there is room for, and a note. The cut leaves no beginning of a secret."""
        note = f"… the page shows the first {TEXT_OF_CELL:,} characters of a cell"
        if room < self._text_left:
            note = f"… the page shows the first {OUTPUTS_OF_NOTEBOOK:,} characters of a notebook's outputs"
        head = text[: max(room, 0)]
        return f"{head[: self.redactor.whole(head)]}\n{note}: all of it is in the task's log\n"

    def _add(self, output: Output, size: int) -> bool:
        """Add an output, or one note when there is no room for it."""
        if len(self.outputs) < OUTPUTS_OF_CELL and size <= self._left:
            self._left -= size
            self.outputs.append(output)
            return True
        if not self._is_full:
            self._is_full = True
            limits = f"{OUTPUTS_OF_CELL} outputs a cell and {OUTPUTS_OF_NOTEBOOK:,} characters a notebook"
            note = f"… more outputs of this cell are left out: the page has room for {limits}\n"
            self.outputs.append({"output_type": "stream", "name": "stderr", "text": [note]})
        return False

    def _bounded(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """The forms of an output that are not too long, and what stands for the others."""
        forms = {mime: form for mime, form in bundle.items() if _size(form) <= LONGEST_OUTPUT}
        left_out = [f"{mime} of {_size(bundle[mime]):,} characters" for mime in bundle if mime not in forms]
        if "text/plain" in bundle and "text/plain" not in forms:
            forms["text/plain"] = self._fitting(str(bundle["text/plain"]), LONGEST_OUTPUT)
        if left_out:
            note = f"({', '.join(left_out)}: left out, the limit is {LONGEST_OUTPUT:,})"
            forms["text/plain"] = f"{forms.get('text/plain', '')}\n{note}".strip()
        return forms

    def _fitting(self, text: str, limit: int) -> str:
        return text if len(text) <= limit else f"{self.redactor.shortened(text, limit)}\n… {len(text):,} characters"


def _size(form: Any) -> int:
    return len(form if isinstance(form, str) else repr(form))


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
    if is_spark_table(value):
        return spark_table(value, recorder.redactor)
    if png := _picture(value, recorder.redactor):
        return {"image/png": png, "text/plain": f"<{type(value).__name__}>"}
    bundle: dict[str, Any] = {"text/plain": repr(value)}
    to_html = getattr(value, "_repr_html_", None)
    if callable(to_html) and not isinstance(value, type) and (text := to_html()):
        bundle["text/html"] = str(text)
    return bundle


def show_figures(recorder: Recorder, publish: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Show and close what ``pyplot`` has open.

    :param publish: takes each picture; by default the recorder does.
    """
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        (publish or recorder.data)(bundle_of(pyplot.figure(number), recorder))
        pyplot.close(number)


def _picture(value: Any, redactor: Redactor) -> str | None:
    figure: Any = value if hasattr(value, "savefig") else getattr(value, "figure", None)
    if not type(value).__module__.startswith("matplotlib") or not hasattr(figure, "savefig"):
        return None
    for text in figure.findobj(lambda artist: redactor.found_in(getattr(artist, "get_text", str)())):
        text.set_text(redactor(text.get_text()))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode()
