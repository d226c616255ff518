"""Programs of every kind for the contract suite, each with the result that it hands back."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.supervisor import spark_home
from airflow_ml_provider.core.spec import JobSpec, PythonFile, PythonWheel, ScalaSource, SparkJar, Sql

_SQL = """\
-- a comment; with a semicolon
CREATE OR REPLACE TEMPORARY VIEW flights AS SELECT * FROM VALUES ('JFK', 7), (:there, 9) AS t(origin, delay);
/* another; /* nested; */ one */
SELECT origin, delay, 'it''s; "fine" -- really' AS note FROM flights WHERE delay > :least ORDER BY origin;
"""
_SCALA = """\
case class Flight(origin: String, delay: Long)
object Delays {{
  def main(args: Array[String]): Unit = {{
    val spark = org.apache.spark.sql.SparkSession.builder().getOrCreate()
    import spark.implicits._
    val total = Seq(Flight("JFK", 7L), Flight("LGA", args(0).toLong)).toDS().map(flight => flight.delay * {factor}).collect().sum
    java.nio.file.Files.writeString(java.nio.file.Paths.get(sys.env("AIRFLOW_ML_RESULT")), s"$total")
  }}
}}
"""
_LINES = """\
val total = spark.sparkContext.parallelize(1 to args(0).toInt).map(_ * 2).sum().toLong
java.nio.file.Files.writeString(java.nio.file.Paths.get(sys.env("AIRFLOW_ML_RESULT")), s"$total")
"""
_READS = """\
import json, os, sys
from pathlib import Path
json.dump([Path("day.txt").read_text(), *sys.argv[1:]], open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


def wheel(folder: Path, name: str, version: str, source: str, scripts: str = "") -> str:
    """A wheel of one module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", source)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{scripts}\n" if scripts else "")
        archive.writestr(f"{info}/RECORD", "")
    return str(path)


def jar(folder: Path, java: Path) -> str:
    """A jar of ``Delays``, which sums delays twice."""
    return _compiled(folder / "delays.jar", _SCALA.format(factor=2), java)


def jar_of_function(folder: Path, java: Path, name: str, factor: int) -> str:
    """A jar of a function of SQL, which multiplies."""
    interface = "org.apache.spark.sql.api.java.UDF1[java.lang.Long, java.lang.Long]"
    source = f"class {name} extends {interface} {{ def call(n: java.lang.Long): java.lang.Long = n * {factor} }}\n"
    return _compiled(folder / f"{name.lower()}.jar", source, java)


def _compiled(path: Path, text: str, java: Path) -> str:
    source = path.with_suffix(".scala")
    source.write_text(text)
    compiler = ["scala.tools.nsc.Main", "-usejavacp", "-nowarn", "-d", str(path), str(source)]
    subprocess.run([str(java), "-XX:TieredStopAtLevel=1", "-cp", f"{spark_home()}/jars/*", *compiler], check=True, timeout=300)
    return str(path)


def programs(folder: Path, java: Path | None) -> dict[str, tuple[JobSpec, Any]]:
    """By name: the job, and its result.

    :param java: compiles the jar; without it the jar is an empty file.
    """
    (folder / "reads.py").write_text(_READS)
    (folder / "day.txt").write_text("2013-01-01")
    (folder / "lines.scala").write_text(_LINES)
    hand_back = "import json, os, sys\ndef main():\n    json.dump(sys.argv[1:], open(os.environ['AIRFLOW_ML_RESULT'], 'w'))\n"
    etl = wheel(folder, "etl_of_tests", "1.0", hand_back, "run-etl = etl_of_tests:main")
    sql = Sql(text=_SQL, parameters={"least": 5, "there": "L'GA; --"})
    rows = [["JFK", 7, 'it\'s; "fine" -- really'], ["L'GA; --", 9, 'it\'s; "fine" -- really']]
    delays = jar(folder, java) if java else _empty(folder / "delays.jar")
    found: dict[str, tuple[Any, Any]] = {
        "python_file": (PythonFile(path=str(folder / "reads.py"), args=("a b",)), ["2013-01-01", "a b"]),
        "python_wheel": (PythonWheel(wheel=etl, entry_point="run-etl", args=("x",)), ["x"]),
        "spark_jar": (SparkJar(jar=delays, main_class="Delays", args=("9",)), 32),
        "sql": (sql, {"columns": ["origin", "delay", "note"], "rows": rows, "truncated": False}),
        "scala": (ScalaSource(file=str(folder / "lines.scala"), args=("10",)), 110),
    }
    files = {"python_file": (str(folder / "day.txt"),)}
    return {
        name: (JobSpec(name=name, program=program, files=files.get(name, ())), result)
        for name, (program, result) in found.items()
    }


def _empty(path: Path) -> str:
    path.touch()
    return str(path)


VERSION = (
    "import json, os, sys\nfrom pyspark.sql import SparkSession, functions as F\nimport versioned\n"
    "spark = SparkSession.builder.getOrCreate()\n"
    "there = F.udf(lambda _: __import__('versioned').VERSION)\n"
    "found = {row[0] for row in spark.range(8).repartition(4).select(there('id')).collect()}\n"
    "json.dump([versioned.VERSION, sorted(found)], open(os.environ['AIRFLOW_ML_RESULT'], 'w'))\n"
)
"""Hands back the version of ``versioned`` in the driver, and those in the executors."""


def versioned(folder: Path, version: str) -> str:
    """A wheel that knows its version."""
    return wheel(folder, "versioned", version, f"VERSION = {version!r}\n")


LIBRARIES = """\
import json, os, sys
from pyspark.sql import SparkSession, functions as F
import versioned
spark = SparkSession.builder.getOrCreate()
numbers = spark.range(8).repartition(4)
there = F.udf(lambda _: __import__("versioned").VERSION)
found = {"driver": versioned.VERSION, "executors": sorted({row[0] for row in numbers.select(there("id")).collect()})}
for name in sys.argv[1:]:
    spark.udf.registerJavaFunction(name.lower(), name, "long")
    found[name] = numbers.selectExpr(f"sum({name.lower()}(id))").first()[0]
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""
"""Hands back the versions of ``versioned``, and what each function of SQL that the arguments name makes of 0 to 7."""
