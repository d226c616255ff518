"""The cases of tests/e2e/test_once.py with an EMR connection in the place of the local one: the same DAGs, the same deaths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from airflow_ml_provider.backends.emr.translate import job_state
from scripts.stack import Stack
from tests.e2e.conftest import CANARIES, QUICK, Run
from tests.e2e.test_once import *  # noqa: F403 - every case of it is a case of this file
from tests.fakes.emr import BUCKET, REGION, Cluster, Services, client, serving
from tests.processes import assert_nothing_runs, eventually

pytestmark = pytest.mark.soak
DAGS = Path(__file__).parents[1] / "e2e" / "dags"


@dataclass
class EmrRun(Run):
    """One DAG run whose cluster is one of the fake's."""

    aws: Any = None

    def made(self) -> Cluster:
        found: Cluster = self.aws.clusters[self.cluster().rpartition("/")[2]]
        return found

    def job_states(self, task: str) -> list[str]:
        jobs = [job for job in self.made().jobs.values() if job.payload["Name"].startswith(f"{task} [")]
        return [job_state(job.state).value for job in sorted(jobs, key=lambda job: job.created)]

    def assert_nothing_is_left(self) -> None:
        eventually(lambda: self.made().state == "TERMINATED", within=60)
        pids = [int(line) for noted in self.folder.glob("*.runs") for line in noted.read_text().splitlines()]
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), within=60)
        (token,) = (tag["Value"] for tag in self.made().payload["Tags"] if tag["Key"] == "airflow-ml-provider")
        s3, folder = client(self.aws.endpoint, "s3"), f"once/clusters/{token}/"
        eventually(lambda: "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix=folder), within=60)


@pytest.fixture(scope="module")
def aws() -> Iterator[Services]:
    with serving(Services(speed=1)) as services:
        yield services
        for cluster in services.clusters.values():
            cluster.end("TERMINATED", "INTERRUPTED")
        assert_nothing_runs(services.root, within=60)


@pytest.fixture(scope="module")
def stack(aws: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    signed = {"endpoint_url": aws.endpoint, "region_name": REGION, "note": CANARIES["extra"]}
    extra: dict[str, Any] = {"backend": "emr", "credentials_conn_id": "aws_fake", "staging_uri": f"s3://{BUCKET}/once"}
    # The cases need all twelve jobs of the run at once. A cluster runs ten steps unless it is asked for more.
    extra["defaults"] = {"native": {"StepConcurrencyLevel": 16}}
    connections = {
        "spark_cluster_default": {"conn_type": "spark_cluster", "extra": json.dumps(extra)},
        "aws_fake": {
            "conn_type": "aws",
            "login": "access-key",
            "password": CANARIES["credentials"],
            "extra": json.dumps(signed),
        },
    }
    env = {"ONCE_POLL_INTERVAL": "0.5"}
    home = tmp_path_factory.mktemp("emr") / "airflow"
    with Stack(home, dags=DAGS, settings=QUICK, connections=connections, env=env) as stack:
        opened = {"conn_type": "mlflow", "host": stack.mlflow_url, "login": "airflow", "password": CANARIES["mlflow"]}
        stack.api.put_connection("mlflow_default", opened)
        yield stack


@pytest.fixture(scope="module")
def runs(stack: Stack, aws: Services, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    def start(dag_id: str) -> Run:
        folder, root = tmp_path_factory.mktemp(dag_id), tmp_path_factory.mktemp("root")
        return EmrRun(stack, root, dag_id, stack.api.trigger(dag_id, {"folder": str(folder)}), folder, aws=aws)

    return start("once"), start("marked_run")


def test_the_spark_ui_opens_to_who_may_see_the_task_and_its_address_is_kept_nowhere(once: EmrRun) -> None:
    xcoms = once.stack.api.xcoms(once.dag_id, once.run_id, "spark.while_running")
    page = once.stack.url + urlsplit(xcoms["spark_ui_url"]).path
    with httpx.Client(trust_env=False, timeout=240) as client:
        assert client.get(page).status_code == httpx.codes.UNAUTHORIZED
        who = {"username": once.stack.user, "password": once.stack.password}
        token = client.post(f"{once.stack.url}/auth/token", json=who).json()["access_token"]
        answers = [client.get(page, headers={"Authorization": f"Bearer {token}"}) for _ in range(2)]
        nobody = client.get(page.replace("while_running", "nobody"), headers={"Authorization": f"Bearer {token}"})
    assert [answer.status_code for answer in answers] == [httpx.codes.TEMPORARY_REDIRECT] * 2, answers[0].text
    assert "console.aws.amazon.com" in answers[0].headers["location"]
    assert "token=" in answers[1].headers["location"]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert nobody.status_code == httpx.codes.NOT_FOUND
