"""What public Databricks notebooks are made of, one construct each, on real Spark; and that no secret shows."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.model import Resource
from airflow_ml_provider.adf.support import spark_programs
from airflow_ml_provider.core.spec import JobSpec, Mount, Notebook
from airflow_ml_provider.core.state import JobState, JobStatus
from tests.contract.programs import versioned
from tests.mounts.clusters import MountedCluster, credentials, mounted_cluster
from tests.servers.seaweedfs import S3Server

CANARY = "kanarie-77d1-Xylofoon"
HOSTILE = "it's \\' OR 1=1 -- \\"
HEAD = "# Databricks notebook source\n"
CELL = "\n# COMMAND ----------\n"
MAGIC = "# MAGIC "

CONSTRUCTS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "widgets": (
        'dbutils.widgets.text("day", "1", "Day")\ndbutils.widgets.dropdown("mode", "full", ["full", "part"])\n'
        + CELL
        + 'dbutils.notebook.exit(dbutils.widgets.get("day") + dbutils.widgets.get("mode") + getArgument("none", "?"))',
        {"day": 7},
        "7full?",
    ),
    "sql with a widget, then its result in Python": (
        (
            'dbutils.widgets.text("day", "3")'
            f"{CELL}{MAGIC}%sql\n{MAGIC}CREATE OR REPLACE TEMP VIEW days AS SELECT explode(sequence(1, 5)) AS day;\n"
            f"{MAGIC}SELECT count(*) AS n FROM days WHERE day <= :day AND day < ${{day}} + 1 -- the end;\n"
            f"{CELL}dbutils.notebook.exit(_sqldf.first()['n'])"
        ),
        {},
        "3",
    ),
    "values of widgets stay in their quotes in SQL": (
        (
            f"{MAGIC}%sql SELECT getArgument('bad') AS a, '${{bad}}' AS b, :bad AS c{CELL}found = list(_sqldf.first())\n"
            'spark.conf.set("spark.sql.parser.escapedStringLiterals", "true")\n'
            f"{CELL}{MAGIC}%sql SELECT getArgument('bad') AS a\n{CELL}import json\n"
            "dbutils.notebook.exit(json.dumps([*found, _sqldf.first()[0], dbutils.widgets.get('none'), dbutils.widgets.get('many')]))"
        ),
        {"bad": HOSTILE, "none": None, "many": [True, {"a": "b"}]},
        json.dumps([HOSTILE] * 4 + ["null", '[true, {"a": "b"}]']),
    ),
    "run shares names and sets widgets": (
        f'{MAGIC}%run ./lib/setup $catalog="main"{CELL}dbutils.notebook.exit(where())',
        {},
        "main/lib/setup",
    ),
    "a child notebook hands back JSON": (
        (
            'import json\nrows = [json.loads(dbutils.notebook.run("./child", 60, {"n": n}))["rows"] for n in (2, 3)]\n'
            "dbutils.notebook.exit(json.dumps(rows))"
        ),
        {},
        "[2, 3]",
    ),
    "many children at once": (
        (
            "from concurrent.futures import ThreadPoolExecutor\nimport json\nwith ThreadPoolExecutor(3) as pool:\n"
            '    found = list(pool.map(lambda n: dbutils.notebook.run("./child", 0, {"n": n}), range(3)))\n'
            'dbutils.notebook.exit(str(sorted(json.loads(one)["rows"] for one in found)))'
        ),
        {},
        "[0, 1, 2]",
    ),
    "shell and files": (
        f"{MAGIC}%sh\n{MAGIC}echo hello > /tmp/$(basename $PWD)-shell.txt && cat /tmp/$(basename $PWD)-shell.txt"
        f'{CELL}folder = f"file:{{base}}"\n'.replace("{base}", "' + 'x").replace(
            "file:' + 'x", "file:{dbutils.widgets.get('folder')}"
        )
        + 'dbutils.fs.mkdirs(folder + "/a")\ndbutils.fs.put(folder + "/a/b.txt", "text", True)\n'
        'dbutils.fs.cp(folder + "/a", folder + "/c", recurse=True)\ndbutils.fs.mv(folder + "/c/b.txt", folder + "/d.txt")\n'
        'dbutils.fs.rm(folder + "/a", True)\n'
        'dbutils.notebook.exit(str([(f.name, f.size, f.isDir()) for f in dbutils.fs.ls(folder)]) + dbutils.fs.head(folder + "/d.txt"))',
        {"folder": "FOLDER"},
        "[('c/', 0, True), ('d.txt', 4, False)]text",
    ),
    "task values": (
        (
            'dbutils.jobs.taskValues.set(key="rows", value=[1, 2])\n'
            'dbutils.notebook.exit(dbutils.jobs.taskValues.get(taskKey="before", key="n") + dbutils.jobs.taskValues.get("x", "y", default=1))'
        ),
        {},
        "42",
    ),
    "a Python function in SQL and on executors": (
        (
            "from pyspark.sql.functions import udf\nclass Scale:\n    def by(self, n): return n * FACTOR\nFACTOR = 3\nscale = Scale()\n"
            'spark.udf.register("scaled", lambda n: scale.by(n), "long")\n'
            f"{CELL}{MAGIC}%sql SELECT sum(scaled(id)) AS total FROM range(4)"
            f'{CELL}total = _sqldf.first()["total"]\n'
            'dbutils.notebook.exit(str(total + spark.range(3).select(udf(scale.by, "long")("id").alias("x")).agg({"x": "sum"}).first()[0]))'
        ),
        {},
        "27",
    ),
    "display in every form": (
        (
            'import pandas as pd\nimport matplotlib.pyplot as plt\ndisplay(spark.createDataFrame([(1, "<b>")], "a int, b string"))\n'
            "display(spark.sql(\"SELECT repeat('x', 5000) AS a, X'0102' AS a, array(1) AS b\"))\n"
            'display(pd.DataFrame({"a": [1]}))\ndisplayHTML("<h1>big</h1>")\nplt.plot([1, 2])\n1 + 1'
            f"{CELL}{MAGIC}%md\n{MAGIC}# A **title**\n{CELL}{MAGIC}%python\n{MAGIC}dbutils.notebook.exit('shown')"
        ),
        {},
        "shown",
    ),
    "files of a mount": (
        (
            'assert [(m.mountPoint, m.source[:5]) for m in dbutils.fs.mounts()] == [("/mnt/lake", "file:")]\n'
            'dbutils.fs.mkdirs("/mnt/lake/in")\ndbutils.fs.put("dbfs:/mnt/lake/in/a.txt", "one\\ntwo", overwrite=True)\n'
            f"{CELL}{MAGIC}%fs cp -r /mnt/lake/in mnt/lake/out\n{CELL}{MAGIC}%fs\n{MAGIC}ls /mnt/lake/out\n"
            f'{CELL}{MAGIC}%fs head --maxBytes=3 "/mnt/lake/out/a.txt"\n{CELL}{MAGIC}%fs mounts\n'
            f"{CELL}{MAGIC}%fs mv /mnt/lake/out/a.txt /mnt/lake/out/b.txt\n{CELL}{MAGIC}%fs rm -r /mnt/lake/in\n"
            f'{CELL}rows = spark.read.text("dbfs:/mnt/lake/out").count()\n'
            'found = [f.path for f in [*dbutils.fs.ls("/"), *dbutils.fs.ls("/mnt"), *dbutils.fs.ls("/mnt/lake/out")]]\n'
            'dbutils.notebook.exit(str([rows, dbutils.fs.head("/dbfs/mnt/lake/out/b.txt", maxBytes=3), *found]))'
        ),
        {},
        "[2, 'one', 'dbfs:/mnt/', 'dbfs:/mnt/lake/', 'dbfs:/mnt/lake/out/b.txt']",
    ),
    "widgets of every kind": (
        (
            'dbutils.widgets.combobox("city", "JFK", ["JFK", "LGA"], "City")\n'
            'dbutils.widgets.multiselect("kinds", "a", [str(kind) for kind in "abc"])\n'
            f"{CELL}{MAGIC}%sql CREATE WIDGET DROPDOWN year DEFAULT '2013' CHOICES SELECT 2013\n"
            f'{CELL}before = dbutils.widgets.getAll()\ndbutils.widgets.remove("city")\ndbutils.widgets.help("text")\n'
            f"{CELL}{MAGIC}%sql REMOVE WIDGET year\n"
            f"{CELL}import json\ndbutils.notebook.exit(json.dumps([before, dbutils.widgets.getAll()]))"
        ),
        {"kinds": "a,c"},
        '[{"city": "JFK", "kinds": "a,c", "year": "2013"}, {"kinds": "a,c"}]',
    ),
    "a package of the notebook's own": (
        (
            f"{MAGIC}# ours\n{MAGIC}%pip install --quiet \\\n{MAGIC}  --no-index $WHEEL\n{MAGIC}%restart_python\nimport versioned\n"
            f"{CELL}from pyspark.sql.functions import udf\ndef there(_):\n    import versioned\n    return versioned.VERSION\n"
            'on_executors = spark.range(1).select(udf(there)("id")).first()[0]\n'
            "dbutils.notebook.exit(versioned.VERSION + on_executors)"
        ),
        {},
        "1.01.0",
    ),
    "tables that show themselves": (
        (
            'people = spark.createDataFrame([(1, "ada")], "id int, name string")\npeople.limit(5).display()\n'
            'people.createOrReplaceTempView("people")\ndbutils.data.summarize(people)\n'
            f'{CELL}dbutils.notebook.exit(str(table("people").count() + sql("SELECT 1 AS n").first()["n"]))'
        ),
        {},
        "2",
    ),
    "the rest of what people type": (
        (
            "%env WORD=said\n%load_ext autoreload\n!test $WORD = said\n%cd /tmp\n%timeit 1 + 1\nimport os\n"
            'assert os.environ["WORD"] == "said" and os.getcwd() == "/tmp"\n'
            f"{CELL}{MAGIC}%html <b>bold</b>\n{CELL}{MAGIC}%fs help\n"
            f"{CELL}for utility in (dbutils, dbutils.data, dbutils.fs, dbutils.jobs, dbutils.library, dbutils.notebook, dbutils.secrets):\n"
            "    utility.help()\nassert dbutils.fs.refreshMounts()\n"
            'assert dbutils.secrets.getBytes(scope="scope", key="key") == dbutils.secrets.get("scope", "key").encode()\n'
            'names = [item.name for item in dbutils.secrets.listScopes()] + [item.key for item in dbutils.secrets.list("scope")]\n'
            'dbutils.notebook.exit("/".join(names))'
        ),
        {},
        "scope/key",
    ),
    "its own path, pip, lines for IPython, await": (
        (
            "path = dbutils.notebook.entry_point.getDbutils().notebook().getContext().notebookPath().get()\n"
            "context = dbutils.notebook.entry_point.getDbutils().notebook().getContext()\n"
            'assert context.tags().apply("user") == context.userName().get() == ""\n'
            f"{CELL}{MAGIC}%pip list --quiet\n{CELL}%matplotlib inline\nimport asyncio\nawait asyncio.sleep(0)\n"
            f"{CELL}dbutils.library.restartPython()\n{CELL}dbutils.notebook.exit(path)"
        ),
        {},
        "construct",
    ),
}
FAILURES = {
    "a failing cell": (f"x = 1\n{CELL}# DBTITLE 1,Divide\nx / 0", ["cell 2 (Divide) failed:\n    x / 0\nZeroDivisionError"]),
    "a utility that is not there": ("dbutils.credentials.showRoles()", ["dbutils.credentials: is not there"]),
    "no such widget": ('dbutils.widgets.get("day")', ["no widget or parameter is named 'day'"]),
    "no such secret": ('dbutils.secrets.get("a", "b")', ["no secret is named 'a/b'", "variable:"]),
    "no SparkContext": ("sc.parallelize([1])", ['declare the notebook with api="classic"']),
    "a SparkContext by another name": ("spark.sparkContext.parallelize([1])", ['declare the notebook with api="classic"']),
    "a master under Spark Connect": (
        'from pyspark.sql import SparkSession\nSparkSession.builder.master("local[2]").getOrCreate()',
        ['remove .master(…), or declare the notebook with api="classic"'],
    ),
    "a place in no mount": ('dbutils.fs.put("/tmp/x", "y")', ["dbfs:/tmp/x is in no mount", "(dbfs:/mnt/lake)", "file:/tmp/"]),
    "a mount made in a notebook": ('dbutils.fs.mount("wasbs://a@b", "/mnt/x")', ["SparkCluster(mounts=[…])"]),
    "a magic that is not there": (f"{MAGIC}%tensorboard --logdir x", ["%tensorboard"]),
    "a child that fails": ("dbutils.notebook.run('child', 0, {'n': 'many'})", ["Notebook child, cell 1 failed", "ValueError"]),
}
SHOWN = """\
import base64, json, os
key = dbutils.secrets.get("scope", "key")
print(key, [key], json.dumps({"key": key}), key.encode().hex(), base64.b64encode(b"user:" + key.encode()).decode())
print(key[:9], end=""); print(key[9:])
print(key, file=open("/dev/stdout", "w"))
os.system(f"echo {key}")
display(spark.createDataFrame([(key, "lake-" + key)], "a string, b string"))
displayHTML(f"<i>{key}</i>")
"""


@pytest.fixture(scope="module")
def cluster(spark_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedCluster]:
    with mounted_cluster(spark_root, {Mount("lake", str(tmp_path_factory.mktemp("lake"))): None}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "lib").mkdir()
    setup = 'def where():\n    return dbutils.widgets.get("catalog") + "/lib/setup"'
    (folder / "lib" / "setup.py").write_text(HEAD + setup)
    child = 'import json\nn = int(dbutils.widgets.get("n"))\ndbutils.notebook.exit(json.dumps({"rows": spark.range(n).count()}))'
    (folder / "child.py").write_text(HEAD + child)
    return folder


class Started:
    """A notebook that runs, or has run."""

    def __init__(self, cluster: MountedCluster, notebook: Notebook, **secrets: str) -> None:
        self.cluster = cluster
        self.plan = cluster.backend.plan_job(JobSpec(name="notebook", program=notebook))
        self.id = cluster.backend.submit(cluster.id, self.plan, token=uuid.uuid4().hex[:24], secrets=secrets)

    def ended(self) -> JobStatus:
        return self.cluster.ended(self.id)

    def kept(self) -> dict[str, str]:
        """The executed notebook's files by ending."""
        found = (self.cluster.folder / "jobs" / self.id / "notebook").iterdir()
        return {path.suffix: path.read_text() for path in found}


def start(cluster: MountedCluster, folder: Path, text: str, parameters: dict[str, Any] | None = None, **secrets: str) -> Started:
    path = folder / "construct.py"
    path.write_text(HEAD + text)
    return Started(cluster, Notebook(path=str(path), parameters=parameters or {}), **secrets)


def test_constructs_of_public_notebooks(
    cluster: MountedCluster, folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    given_before = json.dumps({"before": {"n": 41}})
    secrets = {"AIRFLOW_ML_TASK_VALUES": given_before, "AIRFLOW_ML_SECRETS": json.dumps({"scope/key": CANARY})}
    started, wheel = {}, versioned(tmp_path_factory.mktemp("wheel"), "1.0")
    for name, (text, parameters, _) in CONSTRUCTS.items():
        given = {key: str(tmp_path) if value == "FOLDER" else value for key, value in parameters.items()}
        started[name] = start(cluster, folder, text.replace("$WHEEL", wheel), given, **secrets)
    ended = {name: job.ended() for name, job in started.items()}
    assert {name: status.message for name, status in ended.items() if status.message} == {}
    found = {name: str(status.result["exit"]) for name, status in ended.items() if isinstance(status.result, dict)}
    assert found == {name: expected for name, (_, _, expected) in CONSTRUCTS.items()}
    assert ended["task values"].result["task_values"] == {"rows": [1, 2]}
    shown = started["display in every form"].kept()[".html"]
    # An end that a secret of the job could begin with is left out, and tokens of jobs are random.
    assert re.search("<td>x{990,1000}…</td><td>b", shown)
    assert (
        "<td>&lt;b&gt;</td>" in shown and "data:image/png" in shown and "<h1>A <b>title</b></h1>" in shown and "srcdoc" in shown
    )
    shown = started["tables that show themselves"].kept()[".html"]
    assert "<td>ada</td>" in shown and "<td>stddev</td>" in shown
    assert "<td>a.txt</td>" in started["files of a mount"].kept()[".html"]


def test_what_fails_names_its_cell_and_what_is_missing(cluster: MountedCluster, folder: Path) -> None:
    started = {name: start(cluster, folder, text) for name, (text, _) in FAILURES.items()}
    for name, job in started.items():
        status = job.ended()
        assert status.state is JobState.FAILED
        for words in FAILURES[name][1]:
            assert words in status.message, name
        assert cluster.log(job.id).endswith(status.message)
    kept = started["a failing cell"].kept()
    assert 'section class="failed"' in kept[".html"] and "ZeroDivisionError" in kept[".html"]
    cells = json.loads(kept[".ipynb"])["cells"]
    assert [cell["metadata"]["airflow_ml"]["state"] for cell in cells] == ["ok", "failed"]
    assert cells[1]["outputs"][0]["ename"] == "ZeroDivisionError"


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("", ""),
        ("raise ValueError(f'wrong key {key}')", "wrong key [REDACTED]"),
        ("dbutils.notebook.exit(f'at {key}')", "the exit value contains a secret"),
        ("dbutils.jobs.taskValues.set('leak', [key])", "the task value 'leak' contains a secret"),
    ],
)
def test_a_secret_is_shown_nowhere(cluster: MountedCluster, folder: Path, last: str, said: str) -> None:
    secrets = json.dumps({"scope/key": CANARY})
    job = start(cluster, folder, f"{SHOWN}{CELL}print(key[:4], end='')\n{CELL}print(key[4:])\n{last}", AIRFLOW_ML_SECRETS=secrets)
    status = job.ended()
    assert (status.state is JobState.SUCCEEDED, said in status.message) == (not said, True), status
    for text in (cluster.log(job.id), str(status), json.dumps(job.plan), *job.kept().values()):
        for form in (CANARY, CANARY.encode().hex(), base64.b64encode(CANARY.encode()).decode()[:-3]):
            assert form not in text
    assert "REDACTED" in cluster.log(job.id)


def test_jupyter_sql_and_exported_notebooks(cluster: MountedCluster, tmp_path: Path) -> None:
    def cell(source: str, **metadata: Any) -> dict[str, Any]:
        return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}

    def write(name: str, cells: list[dict[str, Any]], metadata: dict[str, Any]) -> str:
        (tmp_path / name).write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}))
        return str(tmp_path / name)

    papermill = write(
        "papermill.ipynb",
        [
            cell("n = 1", tags=["parameters"]),
            cell("%%time\ntotal = spark.range(n).count()"),
            cell("dbutils.notebook.exit(total)"),
        ],
        {"kernelspec": {"name": "python3", "language": "python"}},
    )
    exported = write(
        "exported.ipynb",
        [
            cell('dbutils.widgets.text("n", "2")'),
            cell("%sql\nSELECT :n + 1 AS m"),
            cell("dbutils.notebook.exit(_sqldf.first()[0])"),
        ],
        {"application/vnd.databricks.v1+notebook": {"language": "python", "widgets": {}}},
    )
    sql = tmp_path / "report.sql"
    mark = "-- COMMAND ----------\n"
    sql.write_text(
        "-- Databricks notebook source\nCREATE WIDGET TEXT n DEFAULT '1';\n"
        + mark
        + "SELECT :n AS n\n"
        + mark
        + "-- MAGIC %python\n-- MAGIC dbutils.notebook.exit(_sqldf.first()['n'])\n"
    )
    kernel = write("kernel.ipynb", [cell("n = 1", tags=["parameters"]), cell("print('n is', n)"), cell("n / (n - 5)")], {})
    synapse = {
        "main": [
            cell("n = 0", tags=["parameters"]),
            cell('%%configure -f\n{"conf": {"spark.sql.session.timeZone": "Europe/Oslo"}}'),
            cell(f"%%pyspark\nplace = 'file://{tmp_path}/lake/numbers.csv'\nmssparkutils.fs.put(place, 'n\\n1\\n2\\n')"),
            cell('%run shared/read { "header": true }'),
            cell("%%sql\nSELECT sum(n) AS total, current_timezone() AS zone FROM numbers"),
            cell("row = _sqldf.first()\nmssparkutils.notebook.exit(f'{row.total + n} {row.zone}')"),
        ],
        "read": [
            cell("header = False", tags=["parameters"]),
            cell("spark.read.csv(place, header=header, inferSchema=True).createOrReplaceTempView('numbers')"),
        ],
    }

    def named(kind: str, name: str) -> Resource | None:
        document = {"cells": synapse[name], "metadata": {"kernelspec": {"name": "synapse_pyspark"}}} if name in synapse else None
        return Resource(kind, name, "", document, tmp_path) if document and kind == "notebook" else None

    reference = {"referenceName": "main", "type": "NotebookReference"}
    activity = {"notebook": reference, "parameters": {"n": {"value": 4, "type": "int"}}}
    jobs = [
        Started(cluster, Notebook(path=papermill, parameters={"n": 5})),
        Started(cluster, Notebook(path=exported)),
        Started(cluster, Notebook(path=str(sql), parameters={"n": 9})),
        Started(cluster, Notebook(path=kernel, parameters={"n": 5}, kernel="python3")),
        Started(
            cluster, Notebook(**spark_programs.job("SynapseNotebook", activity, spark_programs.Source(tmp_path, named)).program)
        ),
    ]
    *ended, of_synapse = [job.ended() for job in jobs]
    assert (of_synapse.result or {}).get("exit") == "7 Europe/Oslo", of_synapse
    assert [str((status.result or {}).get("exit")) for status in ended[:2]] == ["5", "3"], ended
    assert ended[2].result == {"exit": "9", "task_values": {}}, ended[2]
    assert "cell 4 failed" in ended[3].message and "ZeroDivisionError" in ended[3].message
    assert "n is 5" in cluster.log(jobs[3].id)


IN_A_STORE = """\
folder = f"dbfs:/mnt/store/{type(spark).__module__}"
spark.createDataFrame([("one",), ("two",)], "line string").repartition(1).write.mode("overwrite").text(f"{folder}/in")
found = sorted(f.name for f in dbutils.fs.ls(f"{folder}/in") if f.name.startswith("part-"))
head = dbutils.fs.head(f"{folder}/in/{found[0]}", 3)
dbutils.fs.mkdirs(f"{folder}/new")
dbutils.fs.put(f"{folder}/new/a b.txt", "té" + "xt" * 40_000, True)
dbutils.fs.cp(f"{folder}/new", f"{folder}/copy", recurse=True)
dbutils.fs.mv(f"{folder}/copy/a b.txt", f"{folder}/b.txt")
dbutils.fs.rm(f"{folder}/new", True)
import os
dbutils.fs.cp(f"{folder}/b.txt", f"file:{os.getcwd()}/down.txt")
dbutils.fs.cp(f"file:{os.getcwd()}/down.txt", f"{folder}/c.txt")
names = [(f.name, f.isDir()) for f in dbutils.fs.ls(folder)]
sizes = [f.size for f in dbutils.fs.ls(f"{folder}/c.txt")]
"""
NOT_DONE = {
    "FileNotFoundError": 'dbutils.fs.ls(f"{folder}/none")',
    "FileExistsError": 'dbutils.fs.put(f"{folder}/b.txt", "again")',
    "IsADirectoryError": 'dbutils.fs.cp(f"{folder}/in", f"{folder}/in2")',
    "PermissionError": 'dbutils.fs.rm(folder.replace("store", "kept"), True)',
}
EXIT = 'dbutils.notebook.exit(str([head, names, sizes, len(dbutils.fs.head(f"{folder}/c.txt", 100_000)), %s]))'


@pytest.mark.soak
def test_files_of_an_object_store(spark_root: Path, seaweedfs: S3Server) -> None:
    source = f"s3://{seaweedfs.make('notebooks')}/lake"
    mounts = [Mount("store", source, "store"), Mount("kept", source, "store", read_only=True)]
    with mounted_cluster(spark_root, dict.fromkeys(mounts, credentials(seaweedfs.connection))) as cluster:
        tried = "".join(
            f"try:\n    {line}\nexcept {kind}:\n    pass\nelse:\n    raise AssertionError({kind!r})\n"
            for kind, line in NOT_DONE.items()
        )
        total = "sc.parallelize([1, 2, 3]).map(lambda n: n * 2).sum()"
        connect = Started(cluster, Notebook(source=HEAD + IN_A_STORE + tried + EXIT % 12)).ended()
        classic = Started(cluster, Notebook(source=HEAD + IN_A_STORE + EXIT % total, api="classic")).ended()
        for status in (connect, classic):
            assert isinstance(status.result, dict), status
            names = "[('b.txt', False), ('c.txt', False), ('copy/', True), ('in/', True)]"
            assert status.result["exit"] == f"['one', {names}, [80003], 80002, 12]"
