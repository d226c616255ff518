"""A job's files on their way to the cluster, and what comes back. The same for every service of Amazon."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.aws import libraries
from airflow_ml_provider.backends.aws.packages import archive
from airflow_ml_provider.backends.aws.storage import Damaged, Store
from airflow_ml_provider.core.backend import Plan
from airflow_ml_provider.core.errors import NotFound, SpecError
from airflow_ml_provider.core.lowering import RUNNERS
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode, PythonFile
from airflow_ml_provider.core.staging import JOB, STAGED, Place
from airflow_ml_provider.core.state import JobState, JobStatus
from airflow_ml_provider.runners import run_python, run_staged

STAGED_KEY = "Staged"
"""In a plan: what the staging area gets, beside what the service gets."""
RUNNER = "run_staged.py"
"""In a job's folder: the program that the service starts. The cluster may be of another version of this provider."""
_RESERVED_CONF = {
    "spark.master": "the service sets it",
    "spark.submit.deployMode": "the driver runs where its log is kept",
}
_RESERVED_ENV = (JobSpec.RESULT_VARIABLE, run_python.ERROR_VARIABLE)
_OF_CLUSTER = {"python", "machine", "idle_minutes", "jvm", "classes", "compiled", "jars", "archives"}
_TOKEN = re.compile(r"(?P<name>.*)(?: \[|#)(?P<token>[A-Za-z0-9_-]{1,64})\]?", re.DOTALL)


def staged_job(spec: JobSpec) -> Plan:
    """What a job's folder will say: its program, files, environment and seconds."""
    assert isinstance(spec.program, (PythonFile, PythonCode))
    return {
        "program": spec.program.model_dump(mode="json"),
        "files": list(spec.files),
        "env": dict(spec.env),
        "jars": libraries.jars(spec.libraries),
        "packages": libraries.packages(spec.libraries),
        "timeout": spec.timeout.total_seconds() if spec.timeout else None,
    }


def check_job(spec: JobSpec) -> None:
    """Refuse what the service or this package sets itself."""
    problems = [f"JobSpec.spark_conf: got {key!r}: {why}" for key in spec.spark_conf if (why := _RESERVED_CONF.get(key))]
    problems += [f"JobSpec.env: got {key!r}: this provider sets it" for key in spec.env if key in _RESERVED_ENV]
    problems += libraries.problems_of_job(spec.libraries)
    if problems:
        raise SpecError(*problems)


def conf_arguments(conf: Mapping[str, str]) -> list[str]:
    """Spark properties as arguments of ``spark-submit``."""
    return [part for key, value in sorted(conf.items()) for part in ("--conf", f"{key}={value}")]


def staged_cluster(spec: ClusterSpec, *, files: Sequence[str], packages: Sequence[Plan], python: str, machine: str) -> Plan:
    """What a cluster's folder will say.

    :param files: that lie there as they are, under ``libraries``.
    :param packages: of Python, which every job unpacks.
    :param python: of PySpark on the cluster.
    :param machine: the cluster's architecture.
    """
    idle = minutes(spec.idle_timeout.total_seconds()) if spec.idle_timeout else None
    about = {"python": python, "machine": machine, "classes": bool(spec.mounts), "idle_minutes": idle}
    return {"files": list(files), "packages": list(packages), **about}


def stage_cluster(store: Store, folder: Place, staged: Plan, secrets: Mapping[str, str]) -> None:
    """What every job of a cluster begins with, and the Spark properties that only its jobs may see."""
    if secrets:
        store.write_json(folder / "secrets.json", dict(secrets))
    for path in staged["files"]:
        data, name = read_file(path, "ClusterSpec.libraries")
        store.write(folder / "libraries" / name, data)
    classes = str(store.upload(folder, (RUNNERS / "Mounts.scala").read_bytes(), "Mounts.scala")) if staged["classes"] else None
    described = {
        "properties": str(folder / "secrets.json") if secrets else None,
        "python": staged["python"],
        "machine": staged["machine"],
        "idle_minutes": staged["idle_minutes"],
        "jvm": str(store.upload(folder, (RUNNERS / "run_jvm.py").read_bytes(), "run_jvm.py")),
        "classes": classes,
        "compiled": str(folder / "mounts.jar"),
        "jars": [str(folder / "libraries" / Path(path).name) for path in staged["files"] if path.endswith(".jar")],
        "archives": _archives(store, folder, staged["packages"], staged),
    }
    store.write_json(folder / "cluster.json", described)


def stage_job(
    store: Store, cluster: Place, job: Place, staged: Plan, secrets: Mapping[str, str], *, repeats: bool = False
) -> None:
    """Upload a job's program and libraries, and write its folder.

    :param repeats: the service may run the job again by itself, so that its secrets stay until the cluster's end. Others are removed
        as soon as the program has them, and a second attempt at such a job fails: without its secrets it could go wrong silently.
    """
    program = staged["program"]
    runner = store.upload(cluster, Path(run_python.__file__).read_bytes(), "run_python.py")
    data, name = _program_file(program)
    store.write(job / RUNNER, Path(run_staged.__file__).read_bytes())
    if secrets:
        store.write_json(job / "secrets.json", dict(secrets))
    made_for = read_cluster(store, cluster)
    described = {
        "cluster": str(cluster / "cluster.json"),
        "runner": str(runner),
        "program": str(store.upload(cluster, data, name)),
        # The place's own name has no characters that need escaping.
        "files": [
            {"uri": str(store.upload(cluster, *read_file(path, "JobSpec.files"))), "name": Path(path).name}
            for path in staged["files"]
        ],
        "jars": [str(store.upload(cluster, *read_file(path, "JobSpec.libraries"))) for path in staged["jars"]],
        "archives": _archives(store, cluster, staged["packages"], made_for),
        "args": program["args"],
        "env": staged["env"],
        "timeout": staged["timeout"],
        "properties": made_for["properties"],
        "secrets": str(job / "secrets.json") if secrets else None,
        "repeats": repeats,
    }
    store.write_json(job / "job.json", described)


def read_cluster(store: Store, folder: Place) -> dict[str, Any]:
    """What :func:`stage_cluster` wrote.

    :raises NotFound: the cluster was terminated.
    """
    found = store.read_json(folder / "cluster.json")
    if found is None:
        raise NotFound(f"{folder} does not exist any more: the cluster was terminated")
    if missing := _OF_CLUSTER - {*found}:
        raise Damaged(f"{folder / 'cluster.json'} is damaged: it lacks {', '.join(sorted(missing))}")
    if "properties" not in found:  # an earlier version made it
        secrets = folder / "secrets.json"
        found["properties"] = str(secrets) if store.read(secrets) is not None else None
    return found


def _archives(store: Store, cluster: Place, packages: Sequence[Plan], made_for: Mapping[str, Any]) -> list[str]:
    """Where the packages lie as an archive, if there are any.

    :param made_for: the ``python`` and ``machine`` of the cluster.
    """
    if not packages:
        return []
    made = archive(packages, python=made_for["python"], machine=made_for["machine"])
    return [str(store.upload_file(cluster, made))]


def folders(cluster: Place, job: Place) -> dict[str, str]:
    """What a plan's references lead to."""
    return {STAGED: str(cluster), JOB: str(job)}


def finished(store: Store, job: Place, state: JobState, message: str, **more: Any) -> JobStatus:
    """A job's status with what its runner has handed back.

    :param message: the service's own, for a job whose runner told nothing.
    """
    try:
        outcome = store.read_json(job / "outcome.json") if state in (JobState.SUCCEEDED, JobState.FAILED) else None
    except Damaged as error:
        return JobStatus(JobState.FAILED, message=f"its result cannot be read: {error}", **more)
    if outcome is None:
        if state is JobState.SUCCEEDED:
            message = "its result is no longer kept: the cluster was terminated"
        return JobStatus(state, message=message, **more)
    result = outcome.get("result") if state is JobState.SUCCEEDED else None
    return JobStatus(state, message=str(outcome.get("message", message)), result=result, **more)


def named(name: str, token: str, longest: int = 256) -> str:
    """A name that its token can be read from again."""
    return f"{name[: longest - len(token) - 3]} [{token}]"


def token_of(name: str) -> tuple[str, str] | None:
    """The name and the token; None for a name that is not ours."""
    found = _TOKEN.fullmatch(name)
    return (found["name"], found["token"]) if found else None


def has_token(name: str, token: str) -> bool:
    """Whether a name is one that this token was written into."""
    found = token_of(name)
    return found is not None and found[1] == token


def minutes(seconds: float) -> int:
    """Whole minutes, at least as long."""
    return max(1, math.ceil(seconds / 60))


def _program_file(program: Mapping[str, Any]) -> tuple[bytes, str]:
    if program["kind"] == "python_code":
        return program["source"].encode(), "program.py"
    return read_file(program["path"], "JobSpec.program.path")


def read_file(path: str, where: str) -> tuple[bytes, str]:
    """A file's content and its name; :class:`SpecError` when it cannot be read.

    :param where: the field that names it.
    """
    try:
        return Path(path).read_bytes(), Path(path).name
    except OSError as error:
        raise SpecError(f"{where}: got {path!r}: {error.strerror}") from error
