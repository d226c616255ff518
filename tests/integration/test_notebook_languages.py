"""Databricks notebooks in Scala and in R, their twins' cells in others, and what they share with Python: real Spark, real R."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.notebooks import notebook_code
from airflow_ml_provider.core.spec import JobSpec, Mount, Node, Notebook, RScript
from airflow_ml_provider.core.state import JobState
from tests.integration.test_notebooks import Started
from tests.mounts.clusters import MountedCluster, mounted_cluster
from tests.servers.r import path_with_r

CANARY = "kanarie-5f02-Xylofoon"
SCALA = """\
// Databricks notebook source
// MAGIC %md # Late flights

// COMMAND ----------

dbutils.widgets.text("factor", "2")
case class Flight(carrier: String, minutes: Int)
object Flight { def late(minutes: Int): Flight = Flight("late", minutes) }
val factor = dbutils.widgets.get("factor").toInt
val flights = Seq(Flight("UA", 5), Flight.late(7)).toDS()
val scaled = flights.map(flight => flight.minutes * factor)
val seen = sc.collectionAccumulator[Flight]("seen")
flights.rdd.foreach(flight => seen.add(flight))
println(s"rows ${scaled.count} seen ${seen.value.size}")
display(flights.select($"carrier", upper($"carrier").as("big")))

// COMMAND ----------

// MAGIC %run ./helpers

// COMMAND ----------

val total = plus(scaled.reduce(_ + _))
dbutils.fs.put("dbfs:/mnt/lake/scala.txt", s"total $total", true)
val names = dbutils.fs.ls("dbfs:/mnt/lake").filter(_.isFile).map(info => info.name + info.size)
flights.createOrReplaceTempView("flights")
println(dbutils.secrets.get("scope", "key"))

// COMMAND ----------

// MAGIC %python
// MAGIC seen = spark.table("flights").count() + sc.parallelize([1, 2]).sum()
// MAGIC spark.range(seen).createOrReplaceTempView("seen")

// COMMAND ----------

// MAGIC %sql SELECT count(*) AS n FROM seen

// COMMAND ----------

val child = dbutils.notebook.run("./child", 60, Map("n" -> "4"))
val missing = scala.util.Try(dbutils.widgets.get("none")).failed.get.getMessage
dbutils.notebook.exit(Seq(total, spark.table("seen").count, child, names.mkString(","), missing.contains("no widget")).mkString(" "))

// COMMAND ----------

sys.error("after the end")
"""
CHILD = """\
// Databricks notebook source
val total = dbutils.widgets.get("n").toInt
spark.range(total).as[Long].map(_ * total).reduce(_ + _)

// COMMAND ----------

dbutils.notebook.exit(s"child$total")
"""
HELPERS = "// Databricks notebook source\ndef plus(n: Int): Int = n + 1\n"
R = """\
# Databricks notebook source
# MAGIC %md # Speed

# COMMAND ----------

dbutils.widgets.text("n", "1")
n <- as.integer(dbutils.widgets.get(name = "n"))
speeds <- data.frame(name = c("é \\"x\\"", "b"), value = c(1.5, n))
speeds
display(speeds)
plot(speeds$value)
message("to the log")

# COMMAND ----------

# MAGIC %python
# MAGIC dbutils.fs.put("dbfs:/mnt/lake/r/r.txt", "from Python", True)

# COMMAND ----------

model <- lm(dist ~ speed, cars)
names <- vapply(dbutils.fs.ls("dbfs:/mnt/lake/r"), function(info) info$name, "")
problem <- tryCatch(dbutils.widgets.get("none"), error = conditionMessage)
child <- dbutils.notebook.run("child", 60, list(n = "2"))
dbutils.jobs.taskValues.set("rows", list(1, TRUE, "three"))
cat(dbutils.secrets.get("scope", "key"))
capture.output(head <- dbutils.fs.head("dbfs:/mnt/lake/r/r.txt", 4))
dbutils.notebook.exit(paste(round(coef(model)[["speed"]], 2), "r.txt" %in% names, grepl("no widget", problem), child, head, dbutils.widgets.getAll()$n))
"""
FAILS = {
    "scala.scala": (
        "// Databricks notebook source\nval x = 1\n\n// COMMAND ----------\n\nval half = x / 0",
        "ArithmeticException: / by zero",
    ),
    "types.scala": ('// Databricks notebook source\nval x: Int = "text"', "type mismatch"),
    "open.scala": ("// Databricks notebook source\nval x = (1", "a bracket or a quote is not closed"),
    "fails.r": ("# Databricks notebook source\nf <- function() stop('no such luck')\nf()", "Error in f(): no such luck"),
    "quits.r": ("# Databricks notebook source\nquit(status = 3)", "the R process ended with exit code 3"),
    "sparkless.r": ("# Databricks notebook source\nlibrary(SparkR)", "there is no package called"),
}


@pytest.fixture(scope="module")
def cluster(spark_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedCluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with_r())
        mounts = {Mount("lake", str(tmp_path_factory.mktemp("lake"))): None}
        with mounted_cluster(spark_root, mounts, workers=1, worker=Node(cores=2, memory="1g")) as cluster:
            yield cluster


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def test_a_notebook_in_scala_and_one_in_r(cluster: MountedCluster, tmp_path: Path) -> None:
    write(tmp_path, late_scala=SCALA, helpers_scala=HELPERS, child_scala=CHILD)
    other = tmp_path / "r"
    other.mkdir()
    child = '# Databricks notebook source\nn <- dbutils.widgets.get("n")\ndbutils.notebook.exit(paste0("child", n))'
    write(other, speed_r=R, child_r=child)
    given = {"AIRFLOW_ML_SECRETS": json.dumps({"scope/key": CANARY})}
    scala = Started(cluster, Notebook(path=str(tmp_path / "late.scala"), parameters={"factor": 3}), **given)
    r = Started(cluster, Notebook(path=str(other / "speed.r"), parameters={"n": 8}), **given)
    status = scala.ended()
    assert status.result == {"exit": "37 5 child4 scala.txt8 true", "task_values": {}}, status.message
    shown = scala.kept()[".html"]
    assert (
        "rows 2 seen 2" in shown and "<td>LATE</td>" in shown and "defined class Flight" not in shown and "after the end" in shown
    )
    assert CANARY not in shown + cluster.log(scala.id) + scala.kept()[".ipynb"]
    status = r.ended()
    assert status.result == {"exit": "3.93 TRUE TRUE child2 from 8", "task_values": {"rows": [1, True, "three"]}}, status.message
    shown = r.kept()[".html"]
    assert "<td>é &quot;x&quot;</td>" in shown and "data:image/png" in shown and "to the log" in shown
    assert CANARY not in shown + cluster.log(r.id) + r.kept()[".ipynb"]


@pytest.mark.soak
def test_what_fails_in_scala_and_r_says_it_in_their_words(cluster: MountedCluster, tmp_path: Path) -> None:
    write(tmp_path, **{name.replace(".", "_"): text for name, (text, _) in FAILS.items()})
    started = {name: Started(cluster, Notebook(path=str(tmp_path / name))) for name in FAILS}
    for name, job in started.items():
        status = job.ended()
        assert status.state is JobState.FAILED, name
        assert FAILS[name][1] in status.message, name
        assert cluster.log(job.id).endswith(status.message)


def test_an_r_script_takes_arguments_and_hands_back_json(cluster: MountedCluster, tmp_path: Path) -> None:
    script = tmp_path / "total.R"
    script.write_text(
        "numbers <- as.integer(commandArgs(trailingOnly = TRUE))\nprint(numbers)\n"
        """cat(sprintf('{"total": %d}', sum(numbers)), file = Sys.getenv("AIRFLOW_ML_RESULT"))"""
    )
    plan = cluster.backend.plan_job(JobSpec(name="r", program=RScript(path=str(script), args=("40", "2"))))
    job = cluster.backend.submit(cluster.id, plan, token=uuid.uuid4().hex[:24])
    assert cluster.ended(job).result == {"total": 42}
    assert "[1] 40  2" in cluster.log(job)


def test_scala_makes_a_notebook_classic_and_r_is_refused_where_it_is_not(
    cluster: MountedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = "# Databricks notebook source\nx = 1\n# COMMAND ----------\n# MAGIC %{} x"
    assert notebook_code(Notebook(source=python.format("scala"))).api == "classic"
    assert notebook_code(Notebook(source=HELPERS)).api == "classic"
    assert notebook_code(Notebook(source=python.format("r"))).api == "connect"
    monkeypatch.setenv("PATH", os.path.dirname(os.__file__))  # noqa: PTH120 - any folder without Rscript
    with pytest.raises(
        SpecError, match=r"JobSpec\.program: got a Notebook with cells in R: this machine has no Rscript: install R"
    ):
        cluster.backend.plan_job(JobSpec(name="r", program=Notebook(source=python.format("r"))))
