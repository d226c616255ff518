"""The runner of staged jobs as EMR runs it: under ``spark-submit``, through Hadoop's filesystems."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from airflow_ml_provider.backends.local.java import find_jdk
from airflow_ml_provider.core.lowering import RUNNERS
from airflow_ml_provider.runners import run_python, run_staged

CANARY = "canary-31c2-staged"
PROGRAM = """
import json, os, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
hadoop = spark.sparkContext._jsc.hadoopConfiguration()
told = {
    "rows": spark.range(int(sys.argv[1])).count(),
    "secret_property": hadoop.get("fs.test.key").startswith("canary"),
    "secret_variable": os.environ["KEY"].startswith("canary"),
    "file": open("beside #1.txt").read(),
    "plain": os.environ["PLAIN"],
}
spark.stop()
json.dump(told, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


@pytest.mark.soak
def test_a_staged_job_under_spark_submit(tmp_path: Path) -> None:
    job = tmp_path / "jobs" / "t"
    job.mkdir(parents=True)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "beside #1.txt").write_text("beside")
    (tmp_path / "secrets.json").write_text(json.dumps({"spark.hadoop.fs.test.key": CANARY}))
    (job / "secrets.json").write_text(json.dumps({"KEY": CANARY}))
    cluster = {"jvm": RUNNERS.joinpath("run_jvm.py").as_uri(), "classes": None, "compiled": "", "archives": []}
    (tmp_path / "cluster.json").write_text(json.dumps(cluster))
    described = {
        "cluster": (tmp_path / "cluster.json").as_uri(),
        "jars": [],
        "archives": [],
        "runner": Path(run_python.__file__).as_uri(),
        "program": (tmp_path / "program.py").as_uri(),
        "files": [{"uri": f"file://{tmp_path}/beside #1.txt", "name": "beside #1.txt"}],
        "args": ["7"],
        "env": {"PLAIN": "yes"},
        "timeout": 300,
        "properties": (tmp_path / "secrets.json").as_uri(),
        "secrets": (job / "secrets.json").as_uri(),
        "repeats": False,
    }
    (job / "job.json").write_text(json.dumps(described))
    env = {"PATH": os.environ["PATH"], "JAVA_HOME": str(find_jdk().home), "PYSPARK_PYTHON": sys.executable}
    submit = [str(Path(sys.executable).with_name("spark-submit")), "--master", "local[1]", "--conf", "spark.ui.enabled=false"]
    done = subprocess.run(
        [*submit, run_staged.__file__, job.as_uri()],
        env={**env, "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads((job / "outcome.json").read_text())
    expected = {"rows": 7, "secret_property": True, "secret_variable": True, "file": "beside", "plain": "yes"}
    assert outcome == {"exit_code": 0, "message": "", "result": expected}
    assert not (job / "secrets.json").exists()
    assert CANARY not in done.stdout + done.stderr


def test_a_runner_that_is_told_to_end_ends_with_its_program(tmp_path: Path) -> None:
    """Alone, without Spark: it must not wait in the handler of the signal for what it waits for already."""
    job = tmp_path / "jobs" / "t"
    job.mkdir(parents=True)
    (tmp_path / "hangs.py").write_text("import os, signal\nprint(os.getpid(), flush=True)\nsignal.pause()\n")
    (tmp_path / "cluster.json").write_text(json.dumps({"jvm": "", "classes": None, "compiled": "", "archives": []}))
    nothing = {"files": [], "jars": [], "archives": [], "args": [], "env": {}, "timeout": None, "secrets": None, "repeats": False}
    uris = {name: (tmp_path / file).as_uri() for name, file in (("cluster", "cluster.json"), ("program", "hangs.py"))}
    described = {**nothing, **uris, "runner": Path(run_python.__file__).as_uri(), "properties": None}
    (job / "job.json").write_text(json.dumps(described))
    command = [sys.executable, run_staged.__file__, job.as_uri()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        program = int(runner.stdout.readline())
        runner.terminate()
        assert runner.wait(30)
    assert not psutil.pid_exists(program)
    assert json.loads((job / "outcome.json").read_text())["message"] == "the program ended with signal 9"


@pytest.mark.parametrize("repeats", [False, True])
def test_a_second_attempt_has_its_secrets_or_fails_and_never_runs_without(tmp_path: Path, repeats: bool) -> None:
    """A service may run a job again: EMR Serverless does with a retry policy, in which case the secrets stay."""
    job = tmp_path / "jobs" / "t"
    job.mkdir(parents=True)
    (tmp_path / "program.py").write_text("import os\nprint('KEY' in os.environ)\nraise SystemExit(3)\n")
    (tmp_path / "cluster.json").write_text(json.dumps({"jvm": "", "classes": None, "compiled": "", "archives": []}))
    (job / "secrets.json").write_text(json.dumps({"KEY": CANARY}))
    uris = {name: (tmp_path / file).as_uri() for name, file in (("cluster", "cluster.json"), ("program", "program.py"))}
    nothing = {"files": [], "jars": [], "archives": [], "args": [], "env": {}, "timeout": None, "properties": None}
    secret = {"secrets": (job / "secrets.json").as_uri(), "repeats": repeats}
    (job / "job.json").write_text(json.dumps({**nothing, **uris, **secret, "runner": Path(run_python.__file__).as_uri()}))
    command = [sys.executable, run_staged.__file__, job.as_uri()]
    messages, printed = [], []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode
        printed.append(done.stdout)
        messages.append(json.loads((job / "outcome.json").read_text())["message"])
    assert (messages[0], printed[0]) == ("exit code 3", "True\n")
    if repeats:
        assert (messages[1], printed[1]) == (messages[0], printed[0])
    else:
        assert "secrets.json does not exist any more: an earlier attempt at this job has read the secrets" in messages[1]
        assert printed[1] == ""
