"""Runs programs of the JVM in the driver that ``spark-submit`` has started, which has the job's jars.

    run_jvm.py jar CLASS ARGS…                   the ``main`` of a class
    run_jvm.py scala '{"source": "…"}' ARGS…     Scala, or ``"file"``; compiled with the compiler that Spark has

Scala statements run in a function that has ``spark``, its implicits, ``sc`` and ``args``; what holds an ``object`` with a ``main``
runs as it is.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_OBJECT = re.compile(
    r"^[ \t]*(?:case\s+)?object\s+(\w+)[^\n]*(?:extends\s+App\b|\{(?=(?:.|\n)*?\bdef\s+main\s*\())", re.MULTILINE
)
_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)", re.MULTILINE)
_WRAPPED = """\
object AirflowProgram {{ def main(args: Array[String]): Unit = {{
val spark = org.apache.spark.sql.SparkSession.builder().getOrCreate(); val sc = spark.sparkContext; import spark.implicits._
{source}
}} }}
"""


def call_main(gateway: Any, main_class: str, args: Sequence[str]) -> None:
    """Call ``main``. An exception in it fails the program with its words."""
    from py4j.java_gateway import JavaClass
    from py4j.protocol import Py4JError, Py4JJavaError

    try:
        JavaClass(main_class, gateway._gateway_client).main(_array(gateway, args))
    except Py4JJavaError as error:
        print(error, file=sys.stderr)
        raise SystemExit(str(error.java_exception)) from None
    except Py4JError as error:
        raise SystemExit(f"main_class: got {main_class!r}: {str(error).strip().splitlines()[0]}") from None


def wrapped(source: str) -> tuple[str, str]:
    """The source as a whole program, and the name of its main class."""
    found = _OBJECT.search(source)
    if found is None:
        return _WRAPPED.format(source=source), "AirflowProgram"
    package = _PACKAGE.search(source)
    return source, ".".join(filter(None, (package[1] if package else "", found[1])))


def compiled(gateway: Any, source: str, folder: Path) -> Path:
    """A jar of the source. What the compiler finds wrong is printed and fails the program."""
    file, classes, jar = folder / "Program.scala", folder / "classes", folder / "program.jar"
    file.write_text(source, encoding="utf-8")
    classes.mkdir()
    jvm = gateway.jvm
    paths = jvm.java.lang.System.getProperty("java.class.path")
    more = [path for path in (jvm.java.lang.System.getProperty("spark.jars") or "").split(",") if path]
    arguments = ["-nowarn", "-d", str(classes), "-classpath", ":".join([paths, *more]), str(file)]
    if not jvm.scala.tools.nsc.Main.process(_array(gateway, arguments)):
        raise SystemExit("the Scala does not compile: what is wrong stands above")
    with zipfile.ZipFile(jar, "w") as archive:
        for path in sorted(classes.rglob("*.class")):
            archive.write(path, path.relative_to(classes).as_posix())
    return jar


def run_scala(gateway: Any, source: str, args: Sequence[str]) -> None:
    """Compile it, put it where driver and executors find it, and call its ``main``."""
    text, main_class = wrapped(source)
    with tempfile.TemporaryDirectory(prefix="scala-") as folder:
        add(gateway, compiled(gateway, text, Path(folder)))
        call_main(gateway, main_class, args)


def add(gateway: Any, jar: Path) -> None:
    """Put a jar where the driver finds it, and executors once there is a context."""
    jvm = gateway.jvm
    jvm.java.lang.Thread.currentThread().getContextClassLoader().addURL(jvm.java.net.URL(jar.as_uri()))
    before = jvm.java.lang.System.getProperty("spark.jars")
    jvm.java.lang.System.setProperty("spark.jars", ",".join(filter(None, (before, str(jar)))))


def _array(gateway: Any, texts: Sequence[str]) -> Any:
    array = gateway.new_array(gateway.jvm.java.lang.String, len(texts))
    for place, text in enumerate(texts):
        array[place] = text
    return array


def main(kind: str, what: str, args: Sequence[str]) -> None:
    from pyspark import java_gateway

    launch: Any = java_gateway.launch_gateway
    if kind == "jar":
        call_main(launch(), what, args)
        return
    asked = json.loads(what)
    run_scala(launch(), asked.get("source") or Path(asked["file"]).read_text(encoding="utf-8"), args)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
