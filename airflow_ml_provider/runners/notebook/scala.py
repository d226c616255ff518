"""Runs Scala cells in the driver's JVM, with the interpreter that Spark's own shell is made of."""

from __future__ import annotations

import itertools
import os
import secrets
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .bridge import Bridge
from .errors import Missing
from .interpreters import Interpreter
from .outputs import Recorder, show_until

if TYPE_CHECKING:
    from .session import Session

CLASSES = "spark.repl.class.outputDir"
"""Spark's property for the folder that executors fetch the interpreter's classes from."""
_PYTHON = "airflow_ml.notebook"
_DEFINITIONS = ("ClassDef", "ModuleDef")
_LINES = 1_000_000


class Scala(Interpreter):
    """The interpreter of one notebook. All of a job write their classes into one folder: each numbers its lines from elsewhere."""

    _starting: ClassVar[Any] = threading.Lock()
    _numbers: ClassVar[Any] = itertools.count()
    _output: ClassVar[Output | None] = None
    _loader: ClassVar[Any] = None

    def __init__(self, session: Session, names: str) -> None:
        super().__init__(session, names)
        context = getattr(session.spark, "_sc", None)
        if context is None:
            raise Missing('%scala: there is no JVM beside Spark Connect: declare the notebook with api="classic"')
        self._jvm = context._gateway.jvm
        self._said = self._jvm.java.io.StringWriter()
        with Scala._starting:
            Scala._output = Scala._output or Output(self._jvm, self.recorder)
            self._interpreter = self._started(context)
            self._jvm.java.lang.System.getProperties().put(_PYTHON, _Asked(self.bridge, self._jvm.java.util))
            self._interpret(names)
            self._heard()

    def run(self, source: str) -> None:
        """Run a cell, and print what it prints and what it defines."""
        if source.lstrip().startswith("package "):
            if not self._interpreter.compileString(source):
                raise RuntimeError(self._heard())
            return
        for part in self._parts(source):
            self._interpret(part)
            print(self._heard(), end="")

    def close(self) -> None:
        """Let the compiler go."""
        self._interpreter.close()

    def _started(self, context: Any) -> Any:
        from pyspark import java_gateway

        serve: Any = java_gateway.ensure_callback_server_started
        serve(context._gateway)
        jvm, shell = self._jvm, self._jvm.scala.tools.nsc.interpreter.shell
        paths = [jvm.java.lang.System.getProperty(name) or "" for name in ("java.class.path", "spark.jars")]
        places = [place.removeprefix("file://").removeprefix("file:") for place in [paths[0], *paths[1].split(",")] if place]
        folder = context.getConf().get(CLASSES)
        options = ["-Yrepl-class-based", "-Yrangepos", "-nowarn", "-Yrepl-outdir", folder]
        settings = jvm.scala.tools.nsc.Settings()
        words = jvm.scala.jdk.javaapi.CollectionConverters.asScala([*options, "-classpath", ":".join(places)])
        settings.processArguments(words.toList(), True)
        writer = jvm.java.io.PrintWriter(self._said, True)
        reporter = shell.ReplReporterImpl(_module(shell, "ShellConfig").apply(settings), settings, writer)
        if Scala._loader is None:
            Scala._loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
            Scala._loader.addURL(jvm.java.io.File(folder).toURI().toURL())  # Spark's threads read what comes from executors
        made = jvm.scala.tools.nsc.interpreter.IMain(settings, jvm.scala.Some(Scala._loader), settings, reporter)
        getattr(made.naming(), "scala$tools$nsc$interpreter$Naming$$_freshLineId_$eq")(next(Scala._numbers) * _LINES)
        return made

    def _interpret(self, source: str) -> None:
        assert Scala._output is not None
        thread = self._jvm.java.lang.Thread.currentThread()
        loader = thread.getContextClassLoader()
        thread.setContextClassLoader(self._interpreter.classLoader())
        try:
            with Scala._output:
                result = self._interpreter.interpret(source).toString()
        finally:
            thread.setContextClassLoader(loader)
        if self.bridge.left:
            raise self.bridge.left
        if result != "Success":
            raise RuntimeError(self._heard() or "the cell is not complete: a bracket or a quote is not closed")

    def _parts(self, source: str) -> Sequence[str]:
        """The cell, cut where classes and objects begin and end: executors run what stands beside a class to have one of its own."""
        parsed = self._interpreter.parse(source)
        self._heard()
        if not parsed.isRight():
            return [source]
        found = parsed.toOption().get()._1()
        trees = [found.apply(at) for at in range(found.size())]
        places = [(tree.getClass().getSimpleName(), tree.pos().start(), tree.pos().end()) for tree in trees]
        return parts(source, [(kind in _DEFINITIONS, start, end) for kind, start, end in places if kind != "Import"])

    def _heard(self) -> str:
        """What the interpreter itself said since the last call."""
        buffer = self._said.getBuffer()
        text = str(buffer.toString())
        buffer.setLength(0)
        return text


def parts(source: str, statements: Sequence[tuple[bool, int, int]]) -> list[str]:
    """Cut a source between statements of two kinds, at the end of a line where there is one.

    :param statements: whether it is of the first kind, and where it begins and ends.
    """
    cuts = [0]
    for (kind, _, end), (next_kind, start, _) in itertools.pairwise(statements):
        if kind != next_kind:
            line = source.find("\n", end)
            cuts.append(line if 0 <= line < start else end)
    return [source[at:to] for at, to in itertools.pairwise([*cuts, len(source)])]


class Output:
    """What the JVM prints, shown by the notebook; all of it once the ``with`` is over. A job has one."""

    def __init__(self, jvm: Any, recorder: Recorder) -> None:
        self._mark = f"\x1e{secrets.token_hex(8)}\n"
        self._there = threading.Event()
        self._lock = threading.Lock()
        pipe = Path(tempfile.mkdtemp(prefix="scala-")) / "said"
        os.mkfifo(pipe, 0o600)
        threading.Thread(target=self._show, args=(pipe, recorder), daemon=True).start()
        self._stream = jvm.java.io.PrintStream(jvm.java.io.FileOutputStream(str(pipe)), True, "UTF-8")
        jvm.java.lang.System.setOut(self._stream)
        jvm.java.lang.System.setErr(self._stream)
        self._console = _module(jvm.scala, "Console")

    def __enter__(self) -> None:
        self._console.setOutDirect(self._stream)
        self._console.setErrDirect(self._stream)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._there.clear()
            self._stream.print(self._mark)
            self._there.wait()

    def _show(self, pipe: Path, recorder: Recorder) -> None:
        with pipe.open("rb") as stream:
            show_until(self._mark, stream, recorder, self._there)


class _Asked:
    """What the JVM sees of the bridge."""

    def __init__(self, bridge: Bridge, util: Any) -> None:
        self._bridge = bridge
        self._util = util

    def apply(self, asked: Any) -> Any:
        command, *arguments = asked
        return self._java(list(self._bridge.ask(command, [_python(argument) for argument in arguments], {})))

    def _java(self, value: Any) -> Any:
        """A value as the JVM's own."""
        if isinstance(value, dict):
            made = self._util.HashMap()
            for key, item in value.items():
                made.put(key, self._java(item))
            return made
        if isinstance(value, list):
            made = self._util.ArrayList()
            for item in value:
                made.add(self._java(item))
            return made
        return value

    def toString(self) -> str:  # noqa: N802 - Java's name
        return "dbutils"

    class Java:
        implements: ClassVar[list[str]] = ["java.util.function.Function"]


def _python(value: Any) -> Any:
    """A value of the JVM as Python's own."""
    from py4j.java_collections import JavaList, JavaMap

    if isinstance(value, JavaMap):
        return {key: _python(item) for key, item in value.items()}
    return [_python(item) for item in value] if isinstance(value, JavaList) else value


def _module(package: Any, name: str) -> Any:
    """An object of Scala."""
    return getattr(getattr(package, f"{name}$"), "MODULE$")
