"""Calls that 200 running jobs on 20 EMR clusters cost while one triggerer waits for them, counted at the server.

    api_calls.py

Ours against the triggers of the official EMR operators, looking equally often. The server is the fake of the tests. Reading the
drivers' logs in S3 is told apart: ours does, the official triggers do not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

CLUSTERS, JOBS, INTERVAL, LOOKS = 20, 10, 10, 3
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="api-calls-"))

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.fakes.emr import BUCKET, Cluster, Job, Services, serving  # noqa: E402


def main() -> None:
    """Count, and show the table."""
    logging.disable(logging.WARNING)
    with serving(Services(speed=1)) as services:
        _connect(services.endpoint)
        ids = _fill(services)
        rows = {"ours": _counted(services, [_ours(*pair) for pair in ids])}
        rows["official"] = _counted(services, [_official(*pair) for pair in ids])
    print(f"\nCalls a minute, {CLUSTERS * JOBS} jobs on {CLUSTERS} clusters, a look each {INTERVAL} s, over {INTERVAL * LOOKS} s")
    asked = {name: _per_minute(calls) for name, calls in rows.items()}
    for name, (emr, s3) in asked.items():
        print(f"  {name:<9} EMR {emr:6.0f}   S3 {s3:6.0f}")
    print(f"  EMR's calls: ratio {asked['ours'][0] / asked['official'][0]:.3f} (expected: at most 0.1)")


def _connect(endpoint: str) -> None:
    aws = {
        "conn_type": "aws",
        "login": "key",
        "password": "secret",
        "extra": {"endpoint_url": endpoint, "region_name": "eu-west-1"},
    }
    extra = {"backend": "emr", "credentials_conn_id": "aws_default", "staging_uri": f"s3://{BUCKET}/bench"}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(aws)
    os.environ["AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT"] = json.dumps({"conn_type": "spark_cluster", "extra": extra})


def _fill(services: Services) -> list[tuple[str, str]]:
    """Clusters whose jobs run for ever."""
    ids = []
    for number in range(CLUSTERS):
        tag = {"Key": "airflow-ml-provider", "Value": f"t{number}"}
        payload = {"Name": f"bench [t{number}]", "Tags": [tag], "LogUri": f"s3://{BUCKET}/logs/"}
        cluster = services.add(Cluster(f"j-{number}", payload, "WAITING"))
        for job in range(JOBS):
            step = Job(f"s-{number}-{job}", {"Name": f"job [j{job}]"}, ("COMPLETED", "FAILED"), "RUNNING")
            cluster.jobs[step.id] = step
            ids.append((cluster.id, step.id))
    return ids


def _ours(cluster: str, job: str) -> Any:
    from airflow_ml_provider.triggers.spark import SparkTrigger

    return SparkTrigger(f"emr://spark_cluster_default/{cluster}/{job}", poll_interval=float(INTERVAL))


def _official(cluster: str, job: str) -> Any:
    from airflow.providers.amazon.aws.triggers.emr import EmrAddStepsTrigger

    return EmrAddStepsTrigger(
        job_flow_id=cluster, step_ids=[job], waiter_delay=INTERVAL, waiter_max_attempts=1000, aws_conn_id="aws_default"
    )


def _counted(services: Services, triggers: list[Any]) -> Counter[str]:
    """The calls of some intervals, once every trigger has made its first look."""
    return asyncio.run(_watch(services, triggers))


async def _watch(services: Services, triggers: list[Any]) -> Counter[str]:
    services.calls.clear()
    watchers = [asyncio.ensure_future(anext(aiter(trigger.run()))) for trigger in triggers]
    while services.calls["ListSteps"] < CLUSTERS and services.calls["DescribeStep"] < CLUSTERS * JOBS:
        await asyncio.sleep(0.1)
    await asyncio.sleep(INTERVAL)
    services.calls.clear()
    await asyncio.sleep(INTERVAL * LOOKS)
    counted = Counter(services.calls)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    return counted


def _per_minute(calls: Counter[str]) -> tuple[float, float]:
    """EMR's, and S3's."""
    minute = 60 / (INTERVAL * LOOKS)
    return (calls.total() - calls["S3"]) * minute, calls["S3"] * minute


if __name__ == "__main__":
    main()
