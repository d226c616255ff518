"""What cells say to Spark, Hadoop and the shell, on real Spark: scripts of SQL, names of files, IPython."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from airflow_ml_provider.core.lowering import RUNNERS
from airflow_ml_provider.core.spec import JobSpec, Mount, Notebook, Program, PythonCode, PythonFile, Sql
from airflow_ml_provider.core.state import JobState
from airflow_ml_provider.runners.notebook.sql_statements import split
from tests.mounts.clusters import MountedCluster, credentials, mounted_cluster
from tests.seed import SEED
from tests.servers.seaweedfs import S3Server
from tests.unit.runners.sql_generated import texts
from tests.unit.runners.sql_texts import SCRIPTS, TEXTS
from tests.unit.runners.test_notebook_python import jupyter

HEAD = "# Databricks notebook source\n"
CELL = "\n# COMMAND ----------\n"
JUDGE = """
import json, os
from pathlib import Path
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.sparkContext.setLogLevel("OFF")
parser = spark._jsparkSession.sessionState().sqlParser()
def problem(text):
    try:
        parser.parsePlan(text)
    except Exception as error:
        return " ".join(str(error).split())[:300]
found = {text: problem(text) for text in json.loads(Path("texts.json").read_text())}
Path(os.environ["AIRFLOW_ML_RESULT"]).write_text(json.dumps({text: told for text, told in found.items() if told}))
"""
NAMES = ["#old", "?b%20c 50%", "[x]{y}*+", "é☃'\"~&=;", "..x"]
FILES = """
folders = NAMES_OF_FOLDERS
found = []
for folder in folders:
    for name in NAMES:
        for kept in ("keep", "report", "a", "50"):
            dbutils.fs.put(f"{folder}/{kept}/x", "kept", True)
        odd = f"{folder}/keep{name}"
        dbutils.fs.mkdirs(odd)
        dbutils.fs.put(f"{odd}/in{name}", "text")
        dbutils.fs.cp(f"{odd}/in{name}", f"{folder}/report{name}")
        dbutils.fs.mv(f"{folder}/report{name}", f"{folder}/moved{name}")
        dbutils.fs.cp(odd, f"{folder}/copy{name}", recurse=True)
        assert dbutils.fs.head(f"{folder}/copy{name}/in{name}") == dbutils.fs.head(f"{folder}/moved{name}") == "text", name
        names = {entry.name: entry.path for entry in dbutils.fs.ls(folder)}
        expected = {"50/", "a/", "keep/", "report/", f"copy{name}/", f"keep{name}/", f"moved{name}"}
        assert set(names) == expected, (name, names)
        for entry in (f"keep{name}/", f"copy{name}/", f"moved{name}"):
            dbutils.fs.rm(names[entry], True)
        assert {entry.name for entry in dbutils.fs.ls(folder)} == {"50/", "a/", "keep/", "report/"}, name
        for same in (f"{folder}/keep", f"{folder}/keep/in"):
            try:
                dbutils.fs.mv(f"{folder}/keep", same, True)
            except ValueError:
                continue
            raise AssertionError(same)
        assert dbutils.fs.head(f"{folder}/keep/x") == "kept", name
        found.append(name)
dbutils.notebook.exit(str(len(found)))
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake #1?")


@pytest.fixture(scope="module")
def cluster(spark_root: Path, lake: Path) -> Iterator[MountedCluster]:
    with mounted_cluster(spark_root, {Mount("lake", str(lake)): None}) as cluster:
        yield cluster


def start(cluster: MountedCluster, program: Program, *files: Path) -> str:
    spec = JobSpec(name="dialects", program=program, files=tuple(map(str, files)))
    return cluster.backend.submit(cluster.id, cluster.backend.plan_job(spec), token=uuid.uuid4().hex[:24])


def result(cluster: MountedCluster, job: str) -> Any:
    status = cluster.ended(job)
    assert status.state is JobState.SUCCEEDED, f"{status.message}\n{cluster.log(job)[-3000:]}"
    return status.result


def refused(cluster: MountedCluster, folder: Path, asked: list[str]) -> dict[str, str]:
    """The texts that Spark's own parser does not take for one statement, and what it says."""
    (folder / "texts.json").write_text(json.dumps(asked))
    found: dict[str, str] = result(cluster, start(cluster, PythonCode(source=JUDGE, api="classic"), folder / "texts.json"))
    return found


def mixtures() -> list[str]:
    found: list[str] = []

    @seed(SEED)
    @settings(max_examples=1500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(texts())
    def collect(mixture: tuple[str, list[str]]) -> None:
        found.append(mixture[0])

    collect()
    return found


@pytest.mark.soak  # tests/unit/runners/test_sql_statements.py has the same texts without Spark
def test_sparks_own_parser_agrees_where_statements_end(cluster: MountedCluster, tmp_path: Path) -> None:
    """Spark takes each statement for one, and neither two of them together nor a script that is cut."""
    right, wrong = {*SCRIPTS}, set()
    for script in SCRIPTS:
        wrong |= {script[:at] for at, letter in enumerate(script) if letter == ";"}
    for text in (*mixtures(), *(text for text, _ in TEXTS)):
        statements = [statement.text for statement in split(text)]
        right |= {*statements}
        wrong |= {f"{one};\n{other}" for one, other in pairwise(statements)}
    answer = refused(cluster, tmp_path, [*right, *wrong])
    assert {text: answer[text] for text in right if text in answer} == {}
    assert wrong - {*answer} == set()


SCRIPT = """\
/* a; /* nested; */ */
CREATE TEMPORARY VIEW days AS SELECT explode(sequence(1, 5)) AS day;
BEGIN
  DECLARE total INT DEFAULT 0;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SELECT 'failed' AS found; END;
  FOR r AS SELECT day FROM days WHERE day <= :most DO
    IF CASE WHEN r.day > 1 THEN true ELSE false END THEN SET total = total + r.day; END IF;
  END FOR;
  -- the end;
  CASE WHEN total > 5 THEN SELECT 'many' AS found; ELSE SELECT concat('few; ', total) AS found; END CASE;
END;
"""


def test_scripts_run_in_sql_jobs_and_cells(cluster: MountedCluster, tmp_path: Path) -> None:
    file = tmp_path / "script.sql"
    file.write_text(f"{SCRIPT}SELECT 'after' AS found;", encoding="utf-8-sig")
    magic = "".join(f"# MAGIC {line}\n" for line in f"%sql\n{SCRIPT}".split("\n"))
    notebook = f"{HEAD}dbutils.widgets.text('most', '3'){CELL}{magic}{CELL}dbutils.notebook.exit(_sqldf.first()[0])"
    jobs = [
        start(cluster, Sql(file=str(file), parameters={"most": 3})),
        start(cluster, Sql(text=SCRIPT, parameters={"most": 4})),
        start(cluster, Notebook(source=notebook)),
        start(cluster, Notebook(source=notebook, api="classic")),
    ]
    answers = [result(cluster, job) for job in jobs]
    assert [answer["rows"] for answer in answers[:2]] == [[["after"]], [["many"]]]
    assert [answer["exit"] for answer in answers[2:]] == ["few; 5"] * 2


def test_names_of_files_are_taken_as_they_are(cluster: MountedCluster, lake: Path, tmp_path: Path) -> None:
    jobs = []
    for api in ("connect", "classic"):
        (tmp_path / api).mkdir()
        folders = [f"dbfs:/mnt/lake/{api}", f"file:{tmp_path}/{api}"]
        source = HEAD + FILES.replace("NAMES_OF_FOLDERS", repr(folders)).replace("NAMES", repr(NAMES))
        jobs.append(start(cluster, Notebook(source=source, api=api)))
    (lake / "copies").mkdir()
    for name in ("in[1].csv", "a*.csv", "ab.csv", "{x}.csv", "q?.csv", "p%20#1.csv", "b\\c.csv"):
        (lake / "copies" / name).write_text("row\n")
    request = {
        "read": {"format": "csv", "options": {}, "paths": [f"dbfs:/mnt/lake/copies/{name}" for name in ("in[1].csv", "a*.csv")]},
        "columns": [],
        "more": {},
        "single": True,
        "write": {"format": "csv", "path": "dbfs:/mnt/lake/copied #1?", "options": {}},
    }
    copy = start(cluster, PythonFile(path=str(RUNNERS / "copy_tables.py"), args=(json.dumps(request),)))
    assert [result(cluster, job)["exit"] for job in jobs] == [str(2 * len(NAMES))] * 2
    assert result(cluster, copy) == {"rows": 2}
    assert (lake / "copied #1?").is_dir()


@pytest.mark.soak
def test_names_of_objects_are_taken_as_they_are(spark_root: Path, seaweedfs: S3Server) -> None:
    source = f"s3://{seaweedfs.make('dialects')}/lake"
    with mounted_cluster(spark_root, {Mount("store", source, "store"): credentials(seaweedfs.connection)}) as cluster:
        for api in ("connect", "classic"):
            text = HEAD + FILES.replace("NAMES_OF_FOLDERS", f"['dbfs:/mnt/store/{api}']").replace("NAMES", repr(NAMES))
            assert result(cluster, start(cluster, Notebook(source=text, api=api)))["exit"] == str(len(NAMES))


@pytest.mark.parametrize("api", ["connect", pytest.param("classic", marks=pytest.mark.soak)])
def test_what_users_of_jupyter_type_beside_spark(cluster: MountedCluster, api: Any) -> None:
    cells = [
        "from IPython.display import display, HTML\nfrom pyspark.sql.functions import udf\nscale = 2",
        "%%capture out\n@udf('long')\ndef scaled(n):\n    return n * scale\nprint('hidden')\nspark.range(4)",
        "d = 'folder of mine'\n!mkdir -p {d.replace(' ', '-')} && ls > '{d}.txt'",
        "files = !ls -d folder* | sort -r",
        "display(HTML('<b>bold</b>'))\nspark.range(1)",
        "total = spark.range(4).select(scaled('id').alias('n')).agg({'n': 'sum'}).first()[0]",
        "dbutils.notebook.exit([total, out.stdout, len(out.outputs), files])",
    ]
    left = json.loads(result(cluster, start(cluster, Notebook(source=jupyter(*cells), api=api)))["exit"])
    assert left == [12, "hidden\n", 1, ["folder-of-mine", "folder of mine.txt"]]
