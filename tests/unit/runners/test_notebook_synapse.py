"""Synapse's notebooks. Names, arguments and results: Microsoft's "Introduction to Microsoft Spark Utilities" and "Create, develop, and
maintain Synapse notebooks".
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.adf.model import Resource
from airflow_ml_provider.adf.support.spark_programs import Source, job
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.notebooks import shipped
from airflow_ml_provider.core.programs import Notebook
from airflow_ml_provider.runners.notebook import synapse
from airflow_ml_provider.runners.notebook.dbutils import Shared
from airflow_ml_provider.runners.notebook.errors import CellFailed
from airflow_ml_provider.runners.notebook.outputs import Recorder, captured
from airflow_ml_provider.runners.notebook.redaction import Redactor
from airflow_ml_provider.runners.notebook.session import Library, Session
from tests.unit.runners.test_notebook_python import Spark

SECRET = "canary-synapse-91"


def document(*cells: str, parameters: str = "") -> dict[str, Any]:
    """A notebook as an export has it; ``parameters`` is the cell tagged so."""
    tagged = [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": [parameters]}] if parameters else []
    plain = [{"cell_type": "code", "metadata": {}, "source": cell.splitlines(keepends=True)} for cell in cells]
    metadata = {"kernelspec": {"name": "synapse_pyspark"}, "language_info": {"name": "python"}}
    return {"cells": [*tagged, *plain], "metadata": metadata}


class Ran:
    """A notebook of an export that has run as the activity's program does."""

    def __init__(self, exported: Mapping[str, Any], name: str = "main", **parameters: Any) -> None:
        def named(kind: str, wanted: str) -> Resource | None:
            found = exported.get(wanted)
            return Resource("notebook", wanted, "", found, Path(f"{wanted}.json")) if kind == "notebook" and found else None

        properties = {"notebook": {"referenceName": name, "type": "NotebookReference"}, "parameters": parameters}
        self.fields = job("SynapseNotebook", properties, Source(Path(), named)).program
        program = Notebook(**self.fields)
        text, self.log = shipped(program), io.StringIO()
        shared = Shared(Spark(), secrets=dict.fromkeys(program.secrets, SECRET))
        recorder = Recorder(Redactor([SECRET]), self.log)
        self.names: dict[str, Any] = {"__name__": "__main__"}
        session = Session(shared, Library(text.files), recorder, text.notebook, program.parameters, self.names)
        with captured(recorder):
            self.left = session.run()


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_parameters_have_their_types_and_exit_hands_back() -> None:
    found = document("mssparkutils.notebook.exit(f'{day} {count + 1}')", parameters="day, count = 'none', 0")
    given = {"day": {"value": "2024-05-06", "type": "string"}, "count": {"value": 2, "type": "int"}}
    assert Ran({"main": found}, **given).left == "2024-05-06 3"


def test_run_includes_notebooks_of_the_export_with_parameters() -> None:
    exported = {
        "main": document("%run /shared/helpers { \"greeting\": \"hej\", \"times\": 2 }", "%run folder/more", "mssparkutils.notebook.exit(word + more)"),
        "helpers": document("word = greeting * times", parameters="greeting, times = 'hello', 1"),
        "more": document("more = '!'"),
    }  # fmt: skip
    assert Ran(exported).left == "hejhej!"


def test_a_notebook_that_runs_another_gets_what_it_exits_with() -> None:
    exported = {
        "main": document(
            "import notebookutils\nfrom notebookutils import mssparkutils",
            "first = mssparkutils.notebook.run('folder/child', 60, {'n': 4})",
            "second = notebookutils.notebook.run('child', 60, {'n': 5})",
            "about = notebookutils.runtime.context['isReferenceRun'], notebookutils.runtime.context['currentNotebookName']",
            "mssparkutils.notebook.exit(f'{first} {second} {about}')",
        ),
        "child": document("mssparkutils.notebook.exit(str(int(n) * 10) + str(mssparkutils.runtime.context['isReferenceRun']))", parameters="n = 0"),
    }  # fmt: skip
    assert Ran(exported).left == "40True 50True (False, 'main')"


def test_files(tmp_path: Path) -> None:
    place = f"file://{tmp_path}/lake"
    cells = [
        f"fs, here = mssparkutils.fs, '{place}'",
        "fs.mkdirs(here)\nfs.put(here + '/a.txt', 'one')\nfs.append(here + '/a.txt', ' two')\nfs.cp(here + '/a.txt', here + '/b.txt')",
        "head, there, gone = fs.head(here + '/a.txt'), fs.exists(here + '/b.txt'), fs.exists(here + '/c.txt')",
        "listed = sorted((one.name, one.size, one.isFile, one.isDir) for one in fs.ls(here))",
        "fs.mv(here + '/b.txt', here + '/c.txt')\nfs.rm(here + '/a.txt')",
        "left = [one.name for one in fs.ls(here)]",
    ]
    names = Ran({"main": document(*cells)}).names
    assert (names["head"], names["there"], names["gone"]) == ("one two", True, False)
    assert names["listed"] == [("a.txt", 7, True, False), ("b.txt", 7, True, False)]
    assert names["left"] == ["c.txt"]


def test_secrets_are_airflows_variables_and_are_not_shown() -> None:
    found = document("key = mssparkutils.credentials.getSecret('vault-1', 'api-key')\nprint('the key is', key)")
    ran = Ran({"main": found})
    assert ran.fields["secrets"] == {"vault-1/api-key": "variable:api-key"}
    assert ran.names["key"] == SECRET
    assert SECRET not in ran.log.getvalue()


def test_the_environment_is_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DAG_ID": "nightly", "DAG_RUN_ID": "run 7", "DAG_OWNER": "ada"}.items():
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    cell = "env = mssparkutils.env\nfound = env.getWorkspaceName(), env.getJobId(), env.getUserName()"
    assert Ran({"main": document(cell)}).names["found"] == ("nightly", "run 7", "ada")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("mssparkutils.credentials.getToken('Storage')", "mssparkutils.credentials.getToken: there is no Microsoft Entra"),
        ("mssparkutils.fs.mount('abfss://x', '/m')", r"mssparkutils.fs.mount: is not there: mounts are declared"),
        ("mssparkutils.lakehouse.list()", "mssparkutils.lakehouse: is not there"),
        ("mssparkutils.notebook.run('other', 60, {}, 'workspace-2')", "workspace 'workspace-2': there is no Synapse workspace"),
        ("%%configure\n{'conf': 1}", "%%configure: expected a JSON object"),
        ("%%configure\n[1]", "%%configure: expected a JSON object"),
        ('%%configure\n{"conf": 1}', "%%configure: expected a JSON object"),
    ],
)
def test_what_is_not_there_says_so(cell: str, told: str) -> None:
    with pytest.raises(CellFailed, match=told):
        Ran({"main": document(cell)})


def test_configure_sets_what_a_session_takes_and_tells_of_the_rest() -> None:
    class Conf:
        def __init__(self) -> None:
            self.set_to: dict[str, str] = {}

        def set(self, name: str, value: str) -> None:
            if name == "spark.driver.cores":
                raise ValueError("cannot be changed while Spark runs")
            self.set_to[name] = value

    conf, before = Conf(), Spark.conf
    Spark.conf = conf  # type: ignore[assignment]
    try:
        ran = Ran(
            {
                "main": document(
                    '%%configure -f\n{"driverMemory": "28g", "conf": {"spark.sql.ansi.enabled": true, "spark.driver.cores": 4}}'
                )
            }
        )
    finally:
        Spark.conf = before
    assert conf.set_to == {"spark.sql.ansi.enabled": "True"}
    assert "this has no effect here: driverMemory, spark.driver.cores (cannot be changed while Spark runs)" in ran.log.getvalue()


def test_every_way_to_import_them_works() -> None:
    cells = "from notebookutils.mssparkutils import credentials\nimport notebookutils.mssparkutils as utils\nimport mssparkutils as direct"
    names = Ran({"main": document(cells)}).names
    assert names["utils"].fs is names["direct"].fs
    assert names["credentials"] is names["direct"].credentials


def test_what_is_known_is_what_is_there() -> None:
    for group, known in synapse.KNOWN.items():
        kind = {"fs": synapse.Fs, "notebook": synapse.Notebook, "credentials": synapse.Credentials, "env": synapse.Env}
        kind |= {"runtime": synapse.Runtime, "session": synapse.SparkSession}
        there = {name for name in dir(kind[group]) if not name.startswith("_") and not name.isupper()}
        assert known == there | ({"context"} if group == "runtime" else set())


def test_a_notebook_that_the_export_lacks_is_named() -> None:
    with pytest.raises(SpecError, match="notebook 'main': it runs 'lost/helper', which the export does not hold"):
        Ran({"main": document("%run lost/helper")})


def test_absolute_paths_of_databricks_begin_at_the_programs(tmp_path: Path) -> None:
    head = "# Databricks notebook source\n"
    for path, text in {
        "Prod/etl.py": f"{head}# MAGIC %run /Shared/setup\n# COMMAND ----------\ndbutils.notebook.run('/Workspace/Shared/child', 60)",
        "Shared/setup.py": f"{head}# MAGIC %run ./more",
        "Shared/more.py": f"{head}x = 1",
        "Shared/child.py": f"{head}y = 1",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    program = job("DatabricksNotebook", {"notebookPath": "/Prod/etl"}, Source(tmp_path)).program
    assert sorted(shipped(Notebook(**program)).files) == ["/Shared/more", "/Shared/setup", "/Workspace/Shared/child", "etl"]
    assert json.dumps(program)
