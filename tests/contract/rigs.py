"""What the contract suite needs from each backend: where it runs, and programs whose behaviour is known."""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

from airflow_ml_provider.backends.emr.backend import EmrBackend
from airflow_ml_provider.backends.emr_serverless.backend import EmrServerlessBackend
from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.mounts import HADOOP_KEY
from airflow_ml_provider.core.spec import JobSpec, PythonCode
from tests.fakes import emr_faults, memory
from tests.fakes.emr import BUCKET, ROLE, Services, clients, serving
from tests.fakes.faults import Fault, Faults
from tests.processes import processes_of, rest_after

CANARY = "canary-7d1f-never-shown"
SECRET_PROPERTY = "spark.hadoop.fs.canary.key"
OF_CLUSTER: dict[str, dict[str, str]] = {
    "env": {"OF_CLUSTER": "c, å=1", "OF_BOTH": "cluster"},
    "spark_conf": {"spark.sql.session.timeZone": "Europe/Oslo"},
}
"""What the jobs of the shared cluster find."""


class Rig(Protocol):
    """A backend under test, and jobs in its terms."""

    backend: Backend
    smallest: ClassVar[dict[str, Any]]
    """Fields of the smallest cluster that it makes."""
    patience: float
    """Seconds that a cluster or a job may take."""
    native: ClassVar[dict[str, Any]] = {"tags": {"late": "yes"}}
    """What it takes as ``native`` of a cluster."""
    native_of_job: ClassVar[dict[str, Any]] = {"python": "/usr/bin/python3"}
    """The same for a job."""

    has_spark: ClassVar[bool] = True
    """Whether programs find a Spark."""
    lines_of_a_page: ClassVar[int] = 1000
    """Lines of :meth:`prints` that fill a page of a log."""
    serving: ClassVar[dict[str, Any]] = {}
    """Fields of a cluster that serves Spark Connect."""

    def __init__(self, folder: Path) -> None: ...

    def shown(self, cluster: str) -> Any:
        """What people may see of a cluster and its jobs: what the service was sent, and command lines."""
        ...

    def succeeds(self, result: Any = None, *, lines: Sequence[str] = ()) -> JobSpec:
        """A job that prints the lines and hands back the result."""
        ...

    def fails(self, message: str) -> JobSpec:
        """A job that fails with the message."""
        ...

    def hangs(self, **fields: Any) -> JobSpec:
        """A job that never ends by itself."""
        ...

    def tells(self, variable: str, **fields: Any) -> JobSpec:
        """A job that hands back the value of an environment variable."""
        ...

    def tells_conf(self, key: str, **fields: Any) -> JobSpec:
        """A job that hands back the value of a Spark property."""
        ...

    def tells_secret(self, key: str) -> JobSpec:
        """The same for a secret property, which is Hadoop's."""
        return self.tells_conf(key)

    def reads(self, name: str, **fields: Any) -> JobSpec:
        """A job that hands back the text of a file in its working directory."""
        ...

    def prints(self, lines: int) -> JobSpec:
        """A job that prints so many long lines, which begin with their number of six digits and a space."""
        ...


class FaultyRig(Rig, Protocol):
    """A backend of a service that fails when it is told to.

    :param calls: by the backend's method, the service's call at the heart of it.
    """

    faults: Faults
    calls: Mapping[str, str]

    def clusters_made(self) -> int:
        """How many clusters the service has ever made."""
        ...

    def jobs_made(self, cluster: str) -> int:
        """How many jobs it has ever made on a cluster."""
        ...

    def arm(self, fault: Fault | None, call: str = "", *, looks: int = 3, forget: bool = True) -> None:
        """Have the next call of a method meet this fault, and no other; None for none.

        :param forget: count anew which faults were met.
        """
        self.faults.clear()
        if forget:
            self.faults.met.clear()
        if fault:
            self.faults.add(fault, self.calls[call], looks=looks)

    def wait_for_claims(self) -> None:
        """Let the time pass after which work that may have been done, and was not, can be asked for anew."""

    def has_met(self, fault: Fault) -> bool:
        """Whether a call has met the fault."""
        return fault is Fault.REFUSED or any(met is fault for met, _ in self.faults.met)


class MemoryRig(FaultyRig):
    """The service in a dict: ``native`` scripts what happens."""

    patience = 5.0
    smallest: ClassVar[dict[str, Any]] = {}
    native_of_job: ClassVar[dict[str, Any]] = {"result": 7}

    def __init__(self, folder: Path) -> None:
        self.backend = MemoryBackend(f"contract-{folder}")
        self.service, self.faults, self.calls = self.backend.service, Faults(), memory.CALLS
        self.service.wire = memory.FaultyWire(self.service, self.faults)

    def clusters_made(self) -> int:
        return len(self.service.clusters)

    def jobs_made(self, cluster: str) -> int:
        return len(self.service.clusters[cluster].jobs)

    def succeeds(self, result: Any = None, *, lines: Sequence[str] = ()) -> JobSpec:
        return _job("pass", native={"result": result, "log": list(lines)})

    def fails(self, message: str) -> JobSpec:
        return _job("pass", native={"outcome": "FAILED", "message": message})

    def hangs(self, **fields: Any) -> JobSpec:
        return _job("pass", native={"outcome": "RUNNING"}, **fields)

    def tells(self, variable: str, **fields: Any) -> JobSpec:
        return _job("pass", native={"echo": variable}, **fields)

    def tells_conf(self, key: str, **fields: Any) -> JobSpec:
        return _job("pass", native={"echo_conf": key}, **fields)

    def reads(self, name: str, **fields: Any) -> JobSpec:
        return _job("pass", native={"echo_file": name}, **fields)

    def prints(self, lines: int) -> JobSpec:
        return _job("pass", native={"log": [f"{number:06} é" for number in range(lines)]})

    def shown(self, cluster: str) -> Any:
        made = self.service.clusters[cluster]
        return [made.plan, *(job.plan for job in made.jobs.values())]


class LocalRig(Rig):
    """Real processes on this machine: programs do what they say."""

    patience = 90.0
    smallest: ClassVar[dict[str, Any]] = {"driver": {"cores": 2, "memory": "1g"}}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backend: Backend = LocalBackend(folder)

    def succeeds(self, result: Any = None, *, lines: Sequence[str] = ()) -> JobSpec:
        printing = "".join(f"print({line!r})\n" for line in lines)
        return _job(printing + _HAND_BACK.format(json.dumps(result)) if result is not None else printing or "pass")

    def fails(self, message: str) -> JobSpec:
        return _job(f"raise ValueError({message!r})")

    def hangs(self, **fields: Any) -> JobSpec:
        return _job("import signal; signal.pause()", **fields)

    def tells(self, variable: str, **fields: Any) -> JobSpec:
        source = f"import json, os\nopen(os.environ['AIRFLOW_ML_RESULT'], 'w').write(json.dumps(os.environ.get({variable!r})))"
        return _job(source, **fields)

    def tells_conf(self, key: str, **fields: Any) -> JobSpec:
        spark = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
        return _job(spark + _hands_back(f"spark.conf.get({key!r}, None)"), **fields)

    def tells_secret(self, key: str) -> JobSpec:
        found = f"SparkSession.builder.getOrCreate()._jsc.hadoopConfiguration().get({key.removeprefix(HADOOP_KEY)!r})"
        source = "from pyspark.sql import SparkSession\n" + _hands_back(found)
        return JobSpec(name="contract", program=PythonCode(source=source, api="classic"))

    def reads(self, name: str, **fields: Any) -> JobSpec:
        return _job(_hands_back(f"open({name!r}, encoding='utf-8').read()"), **fields)

    def prints(self, lines: int) -> JobSpec:
        return _job(f"for number in range({lines}): print(f'{{number:06}} ' + 'é' * 150)")

    def shown(self, cluster: str) -> Any:
        folder = self.folder / "clusters" / cluster
        plans = [path.read_text() for path in folder.rglob("plan.json")]
        return [*plans, *(process.cmdline() for process in processes_of(folder))]


@cache
def emr_services() -> Services:
    """One fake of EMR's services for all tests of this process."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(serving(Services()))


class EmrRig(LocalRig, FaultyRig):
    """EMR's fake: programs really run, as its steps."""

    has_spark = False
    lines_of_a_page = 4000
    serving = {"spark_version": "4.0"}
    id_begins: ClassVar[str] = "j-"

    smallest: ClassVar[dict[str, Any]] = {"driver": {"cores": 2, "memory": "1g"}}
    native = {"CustomAmiId": "ami-0123"}
    native_of_job = {"ActionOnFailure": "CANCEL_AND_WAIT"}
    kind: ClassVar[Any] = EmrBackend

    def __init__(self, folder: Path) -> None:
        self.services = emr_services()
        self.faults, self.calls = self.services.faults, emr_faults.CALLS[self.kind.name]
        self.patient, self.impatient = (
            self.kind(clients(self.services, read_timeout=seconds), f"s3://{BUCKET}/contract") for seconds in (60, 1)
        )
        self.backend = self.patient

    def clusters_made(self) -> int:
        return sum(id_.startswith(self.id_begins) for id_ in self.services.clusters)

    def jobs_made(self, cluster: str) -> int:
        return len(self.services.clusters[cluster].jobs)

    def shown(self, cluster: str) -> Any:
        made = self.services.clusters[cluster]
        return [made.payload, *(job.payload for job in made.jobs.values()), *(job.told for job in made.jobs.values())]

    def arm(self, fault: Fault | None, call: str = "", *, looks: int = 3, forget: bool = True) -> None:
        super().arm(fault, call, looks=looks, forget=forget)
        self.backend = self.impatient if fault is Fault.ANSWER_LATE else self.patient

    def wait_for_claims(self) -> None:
        self.services.later(600)


class EmrServerlessRig(EmrRig):
    """The same for EMR Serverless."""

    smallest: ClassVar[dict[str, Any]] = {"native": {"executionRoleArn": ROLE}, "max_lifetime": None}
    serving = {"native": {"executionRoleArn": ROLE, "releaseLabel": "emr-7.13.0"}}
    id_begins = "00f"
    native = {"tags": {"late": "yes"}}
    native_of_job = {"retryPolicy": {"maxAttempts": 1}}
    kind = EmrServerlessBackend


RIGS: dict[str, type[Rig]] = {
    "memory": MemoryRig,
    "local": LocalRig,
    "emr": EmrRig,
    "emr-serverless": EmrServerlessRig,
}
"""By the backend's name in the registry. A backend without one fails the suite."""

_HAND_BACK = "import os\nopen(os.environ['AIRFLOW_ML_RESULT'], 'w').write({!r})"


def until_ended(backend: Backend, cluster: str, job: str, patience: float) -> Any:
    """The job's status once it has ended."""
    return until(lambda: backend.poll(cluster, [job])[job], lambda status: status.state.ended, patience)


def until_state(backend: Backend, cluster: str, states: Sequence[str], patience: float) -> Any:
    """The cluster's status once it is in one of the states."""
    return until(lambda: backend.describe([cluster])[cluster], lambda status: status.state in states, patience)


def until(look: Callable[[], Any], done: Callable[[Any], bool], patience: float) -> Any:
    """The first look that is done."""
    deadline = time.monotonic() + patience
    while True:
        began = time.monotonic()
        if done(status := look()):
            return status
        assert time.monotonic() < deadline, f"still {status} after {patience:g} s"
        rest_after(began)


def _hands_back(expression: str) -> str:
    return f"import json, os\nopen(os.environ['AIRFLOW_ML_RESULT'], 'w').write(json.dumps({expression}))"


def _job(source: str, **fields: Any) -> JobSpec:
    return JobSpec(name="contract", program=PythonCode(source=source), **fields)
