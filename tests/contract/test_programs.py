"""Every kind of program: on local it does what it says, and every backend that does not run it itself gets it as a Python file."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.local.java import find_jdk
from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.lowering import LOWERINGS, RUNNERS
from airflow_ml_provider.core.spec import (
    ClusterSpec,
    Jar,
    JobSpec,
    Maven,
    Node,
    Notebook,
    PyPI,
    PythonCode,
    Requirements,
    RScript,
    Wheel,
)
from airflow_ml_provider.core.state import JobState
from airflow_ml_provider.runners.notebook.errors import Missing
from airflow_ml_provider.runners.notebook.kernel import run_in_kernel
from airflow_ml_provider.runners.notebook.outputs import Recorder
from airflow_ml_provider.runners.notebook.redaction import Redactor
from tests.contract.programs import LIBRARIES, VERSION, jar_of_function, programs, versioned
from tests.contract.rigs import until_ended, until_state

PATIENCE = 240.0
KINDS = ("python_file", "python_wheel", "spark_jar", "sql", "scala")


@pytest.fixture(scope="module")
def local(spark_root: Path) -> LocalBackend:
    return LocalBackend(spark_root)


@pytest.fixture(scope="module")
def cluster(local: LocalBackend) -> Iterator[str]:
    plan = local.plan_cluster(ClusterSpec(name="programs", driver=Node(cores=2, memory="1g")))
    made = local.create(plan, token=uuid.uuid4().hex[:24])
    assert until_state(local, made, ["RUNNING", "FAILED"], PATIENCE).state == "RUNNING"
    yield made
    local.terminate(made)
    until_state(local, made, ["TERMINATED"], PATIENCE)


def outcome(local: LocalBackend, cluster: str, spec: JobSpec) -> Any:
    return until_ended(local, cluster, submit(local, cluster, spec), PATIENCE)


def submit(local: LocalBackend, cluster: str, spec: JobSpec) -> str:
    return local.submit(cluster, local.plan_job(spec), token=uuid.uuid4().hex[:24])


def test_every_kind_on_local(local: LocalBackend, cluster: str, tmp_path: Path) -> None:
    known = programs(tmp_path, find_jdk().java)
    assert set(known) == set(KINDS)
    jobs = {name: submit(local, cluster, spec) for name, (spec, _) in known.items()}
    found = {name: until_ended(local, cluster, job, PATIENCE) for name, job in jobs.items()}
    assert {name: (status.state, status.message) for name, status in found.items()} == dict.fromkeys(known, ("SUCCEEDED", ""))
    assert {name: status.result for name, status in found.items()} == {name: result for name, (_, result) in known.items()}
    assert 'JFK       7      it\'s; "fine" -- really' in local.logs(cluster, jobs["sql"]).lines


@pytest.mark.soak
def test_two_jobs_with_versions_in_conflict_run_side_by_side(local: LocalBackend, cluster: str, tmp_path: Path) -> None:
    apis = {"1.0": "connect", "2.0": "classic"}
    jobs = {
        version: submit(
            local,
            cluster,
            JobSpec(
                name=version,
                program=PythonCode(source=VERSION, api=api),
                libraries=(Wheel(versioned(tmp_path, version)),),
            ),
        )
        for version, api in apis.items()
    }
    for version, job in jobs.items():
        status = until_ended(local, cluster, job, PATIENCE)
        assert (status.state, status.result) == (JobState.SUCCEEDED, [version, [version]]), status.message
    without = outcome(local, cluster, JobSpec(name="none", program=PythonCode(source="import versioned")))
    assert without.message == "ModuleNotFoundError: No module named 'versioned'"


@pytest.mark.soak
def test_libraries_of_every_kind_reach_the_executors_of_standalone_workers(local: LocalBackend, tmp_path: Path) -> None:
    java = find_jdk().java
    first, second = (versioned(tmp_path, version) for version in ("1.0", "2.0"))
    twice, thrice = (jar_of_function(tmp_path, java, name, factor) for name, factor in (("Twice", 2), ("Thrice", 3)))
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"--no-index\n--find-links {tmp_path}\nversioned == 1.0  # {Path(first).name}\n")
    small = {"driver": Node(memory="1g"), "workers": 2, "worker": Node(cores=1, memory="512m")}
    spec = ClusterSpec(name="workers", libraries=(Requirements(str(requirements)), Jar(twice)), **small)
    cluster = local.create(local.plan_cluster(spec), token=uuid.uuid4().hex[:24])
    assert until_state(local, cluster, ["RUNNING", "FAILED"], PATIENCE).state == "RUNNING"
    of_cluster = {"driver": "1.0", "executors": ["1.0"], "Twice": 56}
    of_job = {"driver": "2.0", "executors": ["2.0"], "Twice": 56, "Thrice": 84}
    cases = ((of_cluster, ("Twice",), ()), (of_job, ("Twice", "Thrice"), (Wheel(second), Jar(thrice))))
    for api in ("connect", "classic"):
        for expected, functions, libraries in cases:
            program = PythonCode(source=LIBRARIES, args=functions, api=api)
            status = outcome(local, cluster, JobSpec(name=api, program=program, libraries=libraries))
            assert status.result == expected, (api, status.message)
    local.terminate(cluster)
    until_state(local, cluster, ["TERMINATED"], PATIENCE)


@pytest.mark.soak
def test_what_maven_coordinates_bring_but_what_is_excluded(local: LocalBackend, cluster: str) -> None:
    source = "import json, os, sys\nfrom pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
    source += "jars = sorted(jar.rpartition('_')[2] for jar in spark.conf.get('spark.jars').split(','))\n"
    source += "json.dump(jars, open(os.environ['AIRFLOW_ML_RESULT'], 'w'))"
    for exclusions, expected in (
        ((), ["okhttp-3.14.9.jar", "okio-1.17.2.jar"]),
        (("com.squareup.okio:okio",), ["okhttp-3.14.9.jar"]),
    ):
        asked = Maven("com.squareup.okhttp3:okhttp:3.14.9", exclusions=exclusions)
        program = PythonCode(source=source, api="classic")
        status = outcome(local, cluster, JobSpec(name="maven", program=program, libraries=(asked,)))
        assert status.result == expected, status.message


def test_a_library_that_is_nowhere_fails_the_job_in_words(local: LocalBackend, cluster: str) -> None:
    missing = PyPI("airflow-ml-nowhere==1", index_url="file:///nowhere")
    status = outcome(local, cluster, JobSpec(name="lib", program=PythonCode(source="pass"), libraries=(missing,)))
    assert status.state is JobState.FAILED
    assert status.message.startswith("libraries: they could not be installed:")
    assert "airflow-ml-nowhere" in status.message


@pytest.mark.parametrize("kind", KINDS)
def test_memory_gets_what_it_does_not_run_as_a_python_file(kind: str, tmp_path: Path) -> None:
    spec, _ = programs(tmp_path, None)[kind]
    plan = MemoryBackend("programs").plan_job(spec)
    assert plan["program"]["kind"] == "python_file"
    if type(spec.program) in LOWERINGS:
        assert Path(plan["program"]["path"]).parent == RUNNERS
        assert Path(plan["program"]["path"]).is_file()


def test_r_is_refused_when_the_job_is_planned_and_there_is_none(
    local: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpecError, match=r"JobSpec\.program: got an RScript: this machine has no Rscript: install R"):
        local.plan_job(JobSpec(name="r", program=RScript(path="/x.R")))


def test_a_kernel_that_is_nowhere_is_refused_when_the_job_is_planned(local: LocalBackend) -> None:
    """Where only the driver knows its kernels, the job says the same as it begins."""
    notebook = Notebook(source=json.dumps({"cells": [], "metadata": {"kernelspec": {"name": "ir", "language": "R"}}}))
    with pytest.raises(SpecError, match=r"Notebook\.kernel: got 'ir': is not installed on this machine: takes .*python3"):
        local.plan_job(JobSpec(name="r", program=notebook))
    with pytest.raises(Missing, match=r"kernel 'cobol': is not installed where the driver runs: takes one of .*python3"):
        run_in_kernel("cobol", [], Recorder(Redactor([]), io.StringIO()))
