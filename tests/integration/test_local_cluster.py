"""The local backend under stress: real Spark, processes really killed, a disk really full."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_ml_provider.backends.local.archive import Archive
from airflow_ml_provider.backends.local.backend import LocalBackend
from airflow_ml_provider.backends.local.java import find_jdk, with_shim
from airflow_ml_provider.backends.local.layout import make_folder
from airflow_ml_provider.backends.local.supervisor import spark_home
from airflow_ml_provider.core.errors import CapacityError, ConfigurationError, SpecError
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Node, PythonCode, PythonFile
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus
from tests.processes import assert_nothing_runs, eventually, listening, processes_of

CANARY = "canary-40c2-never-shown"
# No limit that a slow machine reaches between two tests; one that ends what a killed pytest leaves.
SMALL = {"driver": Node(cores=2, memory="1g"), "idle_timeout": None, "max_lifetime": 1800}
COUNT = """
import json, os
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
json.dump(spark.range(1000).count(), open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


class Cluster:
    """One cluster of a root, and what a test does with it."""

    def __init__(self, root: Path, *, secrets: dict[str, str] | None = None, **fields: Any) -> None:
        self.backend = LocalBackend(root)
        plan = self.backend.plan_cluster(ClusterSpec(**{**SMALL, **fields}))
        self.id = self.backend.create(plan, token=uuid.uuid4().hex[:24], secrets=secrets or {})
        self.folder = root / "clusters" / self.id

    @property
    def status(self) -> ClusterStatus:
        return self.backend.describe([self.id])[self.id]

    def ready(self) -> Cluster:
        assert eventually(lambda: self.status if self.status.state is not ClusterState.PENDING else None, within=90).state is (
            ClusterState.RUNNING
        ), self.status
        return self

    def start(self, source: str, *, api: Any = "connect", secrets: dict[str, str] | None = None, **fields: Any) -> str:
        spec = JobSpec(name="test", program=PythonCode(source=source, api=api), **fields)
        return self.backend.submit(self.id, self.backend.plan_job(spec), token=uuid.uuid4().hex[:24], secrets=secrets or {})

    def look(self, job: str) -> JobStatus:
        return self.backend.poll(self.id, [job])[job]

    def ended(self, job: str) -> JobStatus:
        eventually(lambda: self.look(job).state.ended, within=90)
        return self.look(job)

    def run(self, source: str, **fields: Any) -> JobStatus:
        return self.ended(self.start(source, **fields))

    def log(self, job: str) -> str:
        return "\n".join(self.backend.logs(self.id, job).lines)

    def end(self) -> None:
        self.backend.terminate(self.id)
        eventually(lambda: self.status.state in (ClusterState.TERMINATED, ClusterState.FAILED), within=60)
        assert_nothing_runs(self.folder)

    def supervisor(self) -> psutil.Process:
        """The process below the guard; both have the same command line."""
        both = [process for process in processes_of(self.folder) if "local.supervisor" in " ".join(process.cmdline())]
        return next(process for process in both if process.ppid() in {other.pid for other in both})


@pytest.fixture(scope="module")
def root(spark_root: Path) -> Path:
    return spark_root


@pytest.fixture(scope="module")
def single(root: Path) -> Iterator[Cluster]:
    cluster = Cluster(root, secrets={"spark.hadoop.fs.some.key": CANARY}).ready()
    yield cluster
    cluster.end()


def test_a_script_as_people_write_it_runs_unchanged(single: Cluster) -> None:
    assert single.run(COUNT).result == 1000


def test_a_python_file_gets_its_arguments(single: Cluster, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys, helper\nprint(sys.argv[1:], helper.WORD, __name__)", encoding="utf-8")
    (tmp_path / "helper.py").write_text("WORD = 'beside it'", encoding="utf-8")
    spec = JobSpec(name="file", program=PythonFile(path=str(program), args=("--day", "é x")))
    job = single.backend.submit(single.id, single.backend.plan_job(spec), token=uuid.uuid4().hex[:24])
    assert single.ended(job).state is JobState.SUCCEEDED
    assert single.log(job) == "['--day', 'é x'] beside it __main__"


def test_jobs_do_not_see_each_others_session(single: Cluster) -> None:
    head = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
    assert single.run(head + "spark.range(1).createOrReplaceTempView('mine')").state is JobState.SUCCEEDED
    status = single.run(head + "spark.table('mine').count()")
    assert status.state is JobState.FAILED
    assert "mine" in status.message


def test_a_jobs_own_session_properties(single: Cluster) -> None:
    source = COUNT.replace("spark.range(1000).count()", "spark.conf.get('spark.sql.shuffle.partitions')")
    assert single.run(source, spark_conf={"spark.sql.shuffle.partitions": "3"}).result == "3"
    assert single.run(source).result == "8"


def test_a_classic_program_is_told_to_declare_itself_and_then_runs(single: Cluster) -> None:
    source = COUNT.replace("spark.range(1000).count()", "spark.sparkContext.parallelize(range(10)).sum()")
    refused = single.run(source)
    assert refused.state is JobState.FAILED
    assert 'declare the program with api="classic"' in refused.message
    assert single.run(source, api="classic").result == 45


def test_what_only_a_new_interpreter_reads_is_honoured(single: Cluster) -> None:
    source = "import json, os, sys\njson.dump(sys.flags.optimize, open(os.environ['AIRFLOW_ML_RESULT'], 'w'))"
    assert single.run(source).result == 0
    assert single.run(source, env={"PYTHONOPTIMIZE": "2"}).result == 2


def test_forked_jobs_have_random_numbers_of_their_own(single: Cluster) -> None:
    source = (
        "import json, os, random\nimport numpy as np\n"
        "json.dump([random.random(), float(np.random.rand())], open(os.environ['AIRFLOW_ML_RESULT'], 'w'))"
    )
    first, second = single.run(source).result, single.run(source).result
    assert not set(first) & set(second)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit('no rows for the day')", "no rows for the day"),
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os._exit(4)", "exit code 4"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
        ("import os; open(os.environ['AIRFLOW_ML_RESULT'], 'w').write('{')", "the result is no JSON"),
        ("import os; open(os.environ['AIRFLOW_ML_RESULT'], 'w').write('NaN')", "NaN is no JSON number"),
        ("def broken(:", "SyntaxError"),
        ("1/0", "ZeroDivisionError"),
    ],
)
def test_every_way_to_fail_is_told(single: Cluster, source: str, said: str) -> None:
    status = single.run(source)
    assert status.state is JobState.FAILED
    assert said in status.message


def test_an_exit_of_zero_is_a_success(single: Cluster) -> None:
    assert single.run("raise SystemExit(0)").state is JobState.SUCCEEDED


def test_cancel_kills_the_whole_tree_and_interrupts_spark(single: Cluster) -> None:
    source = (
        "import subprocess, sys, time\nfrom pyspark.sql import SparkSession, functions as F\n"
        "subprocess.Popen(['sleep', '4321'], start_new_session=True)\n"
        "spark = SparkSession.builder.getOrCreate()\nprint('ready', flush=True)\n"
        "spark.range(10**13).agg(F.max(F.sin('id'))).collect()"
    )
    job = single.start(source)
    eventually(lambda: "ready" in single.log(job) and _busy(single))
    single.backend.cancel(single.id, job)
    assert single.ended(job).state is JobState.CANCELLED
    assert not [process for process in processes_of(single.folder) if "4321" in " ".join(process.cmdline())]
    eventually(lambda: not _busy(single))


def test_a_job_shows_its_own_page_of_the_spark_ui(single: Cluster) -> None:
    from urllib.request import urlopen

    status = single.run(COUNT)
    assert status.ui_url is not None
    with urlopen(status.ui_url) as answer:
        assert status.ui_url.partition("id=")[2] in answer.read().decode()


def test_secrets_are_in_no_argument_list_no_log_and_no_readable_file(single: Cluster) -> None:
    job = single.start("import time; time.sleep(3)", secrets={"KEY": CANARY})
    eventually(lambda: single.look(job).state is JobState.RUNNING)
    token = _connect_token(single)
    for process in processes_of(single.folder):
        told = " ".join(process.cmdline())
        assert CANARY not in told
        assert token not in told
    for path in single.folder.parent.parent.rglob("*"):
        assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or _below_private(path, single.folder), path
    for log in single.folder.rglob("*.log"):
        assert CANARY not in log.read_text(encoding="utf-8", errors="replace")
        assert token not in log.read_text(encoding="utf-8", errors="replace")
    single.ended(job)
    folder = single.folder / "jobs" / job
    assert not (folder / "secrets.json").exists()
    eventually(lambda: not (folder / "scratch").exists())
    assert not [path for path in folder.rglob("*") if CANARY in path.read_text(errors="replace")]


def test_everything_listens_on_the_loopback_and_the_door_needs_the_token(single: Cluster) -> None:
    addresses = listening(single.folder)
    assert addresses
    assert {address.ip.removeprefix("::ffff:") for address in addresses} <= {"127.0.0.1", "::1"}
    source = (
        "import os\nos.environ['SPARK_CONNECT_AUTHENTICATE_TOKEN'] = 'wrong'\n"
        "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().range(1).count()"
    )
    status = single.run(source)
    assert status.state is JobState.FAILED
    assert "UNAUTHENTICATED" in status.message or "authentic" in status.message.lower()


def test_a_program_that_is_not_there_is_refused_before_anything_runs(single: Cluster) -> None:
    plan = single.backend.plan_job(JobSpec(name="x", program=PythonFile(path="/no/such.py")))
    with pytest.raises(SpecError, match=r"JobSpec\.program\.path: got '/no/such\.py': there is no such file"):
        single.backend.submit(single.id, plan, token=uuid.uuid4().hex[:24])


@pytest.fixture(scope="module")
def two_workers(root: Path) -> Iterator[Cluster]:
    cluster = Cluster(root, workers=2, worker=Node(cores=1, memory="512m")).ready()
    yield cluster
    cluster.end()


def test_workers_run_connect_and_classic_programs_side_by_side(two_workers: Cluster) -> None:
    where = COUNT.replace(
        "spark.range(1000).count()",
        "spark.range(1000).repartition(4).rdd.map(lambda _: __import__('os').getpid()).distinct().count()",
    )
    both = {"spark.scheduler.minRegisteredResourcesRatio": "1.0"}  # begin when both executors are there
    classic, connect = two_workers.start(where, api="classic", spark_conf=both), two_workers.start(COUNT)
    assert two_workers.ended(connect).result == 1000
    assert two_workers.ended(classic).result >= 2, two_workers.log(classic)
    executors = [line for line in map(_line, processes_of(two_workers.folder)) if "CoarseGrainedExecutorBackend" in line]
    assert len(executors) >= 2
    secret = _property(two_workers, "spark.authenticate.secret")
    assert not [line for line in map(_line, processes_of(two_workers.folder)) if secret in line]
    assert not _rest_ports(two_workers)


def test_a_killed_guard_ends_the_cluster_in_order(two_workers: Cluster) -> None:
    guard = two_workers.supervisor().parent()
    assert guard is not None
    guard.send_signal(signal.SIGKILL)
    eventually(lambda: two_workers.status.state is ClusterState.TERMINATED)
    assert_nothing_runs(two_workers.folder, within=10)


@pytest.fixture(scope="module")
def other(root: Path) -> Iterator[Cluster]:
    cluster = Cluster(root).ready()
    yield cluster
    cluster.end()


def test_clusters_live_side_by_side(other: Cluster, single: Cluster) -> None:
    assert other.status.connect_url != single.status.connect_url
    assert [cluster.run(COUNT).result for cluster in (other, single)] == [1000, 1000]


def test_a_killed_supervisor_takes_everything_with_it_but_other_clusters(other: Cluster, single: Cluster) -> None:
    job = other.start("import subprocess\nsubprocess.run(['sleep', '4322'])")
    eventually(lambda: [line for line in map(_line, processes_of(other.folder)) if "4322" in line])
    other.supervisor().send_signal(signal.SIGKILL)
    eventually(lambda: other.status.state is ClusterState.FAILED)
    assert_nothing_runs(other.folder, within=10)
    assert "killed by signal 9" in other.status.message
    assert other.look(job).state is JobState.FAILED
    assert not (other.folder / "scratch").exists()
    assert single.run(COUNT).result == 1000


def test_a_killed_driver_fails_the_cluster_and_its_jobs(root: Path) -> None:
    cluster = Cluster(root, driver=Node(cores=2, memory="480m")).ready()
    job = cluster.start(
        "from pyspark.sql import SparkSession\nspark = SparkSession.builder.getOrCreate()\n"
        "spark.range(1).selectExpr('array_repeat(id, 200000000) AS much').selectExpr('size(much)').collect()"
    )
    status = eventually(lambda: cluster.status if cluster.status.state is ClusterState.FAILED else None, within=60)
    assert "out of memory in the driver, whose heap is 480m: raise driver.memory" in status.message
    assert cluster.look(job).state is JobState.FAILED
    assert_nothing_runs(cluster.folder)


def test_a_taken_port_is_told(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cluster = Cluster(root, spark_conf={"spark.connect.grpc.binding.port": str(taken.getsockname()[1])})
        status = eventually(lambda: cluster.status if cluster.status.state is ClusterState.FAILED else None, within=60)
    assert "a port is taken: leave the port out of spark_conf" in status.message
    assert_nothing_runs(cluster.folder)


def test_a_cluster_that_has_no_jdk_is_refused_at_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"JAVA_HOME: got .* which has no bin/java"):
        Cluster(root)


def test_a_cluster_larger_than_the_machine_is_refused_at_once(root: Path) -> None:
    with pytest.raises(CapacityError, match=r"driver\.memory and worker\.memory: got \d+ MiB in all: this machine has \d+ MiB"):
        Cluster(root, driver=Node(memory="900t"))


@pytest.mark.soak
def test_an_archive_that_cannot_be_read_does_no_harm(tmp_path: Path) -> None:
    cache = make_folder(tmp_path / "cache")
    Archive(cache, with_shim(find_jdk(), cache), spark_home()).path.write_bytes(b"no archive")
    cluster = Cluster(tmp_path).ready()
    assert cluster.run(COUNT).result == 1000
    cluster.end()


@pytest.fixture
def small_disk(tmp_path: Path, root: Path) -> Iterator[Path]:
    """A disk of 2 MiB; the class-data archive, which would not fit, is elsewhere."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes privileges that this user lacks")
    (disk / "cache").symlink_to(make_folder(root / "cache").resolve())
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.soak
def test_a_full_disk_is_told(small_disk: Path) -> None:
    cluster = Cluster(small_disk)
    (small_disk / "filler").write_bytes(b"x" * (small_disk_free(small_disk) - 16384))
    status = eventually(lambda: cluster.status if cluster.status.state in ("FAILED", "RUNNING") else None, within=90)
    if status.state is ClusterState.RUNNING:
        job = cluster.run(
            "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().range(10**6).repartition(4).count()"
        )
        assert "No space left" in job.message or cluster.status.state is ClusterState.FAILED, job
        cluster.end()
    else:
        assert "make room, or give the connection another staging_uri" in status.message
    assert_nothing_runs(cluster.folder)


def test_a_disk_that_is_full_already_is_refused_at_once(small_disk: Path) -> None:
    LocalBackend(small_disk).check()
    (small_disk / "filler").write_bytes(b"x" * small_disk_free(small_disk))
    with pytest.raises(CapacityError, match="make room, or give the connection another staging_uri"):
        Cluster(small_disk)


def small_disk_free(disk: Path) -> int:
    """Bytes that are left on it."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def _busy(cluster: Cluster) -> bool:
    """Whether the driver has used half a core or more for a moment."""
    driver = next(process for process in processes_of(cluster.folder) if "SparkConnectServer" in _line(process))
    driver.cpu_percent()
    time.sleep(0.3)
    return driver.cpu_percent() > 50


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _connect_token(cluster: Cluster) -> str:
    for process in processes_of(cluster.folder):
        if token := process.environ().get("SPARK_CONNECT_AUTHENTICATE_TOKEN"):
            return token
    raise AssertionError("no job runs")


def _property(cluster: Cluster, key: str) -> str:
    text = (cluster.folder / "scratch" / "connect.properties").read_text(encoding="utf-8")
    return next(line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}="))


def _below_private(path: Path, folder: Path) -> bool:
    """Whether one of the folders above it lets nobody else in."""
    return any(stat.S_IMODE(above.stat().st_mode) & 0o077 == 0 for above in path.parents if above.is_relative_to(folder.parent))


def _rest_ports(cluster: Cluster) -> list[int]:
    """Ports that answer as standalone's REST submission does."""
    return [port for port in {address.port for address in listening(cluster.folder)} if _answers_as_rest(port)]


def _answers_as_rest(port: int) -> bool:
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(f"http://127.0.0.1:{port}/v1/submissions/status/x", timeout=2) as answer:
            return "serverSparkVersion" in json.dumps(answer.read().decode())
    except (HTTPException, URLError, OSError, ValueError):
        return False
