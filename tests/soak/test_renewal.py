"""Logins that last for seconds, renewed while one job runs: a role on AWS, a managed identity on Azure, a service account on Google.

The stores check them: MinIO's own STS makes the keys of the role, and Azurite takes no token that has expired. The S3 keys themselves
live for a quarter of an hour, MinIO's least; what says that they end sooner is the answer of the STS. fake-gcs-server takes any token.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_ml_provider.core.mounts import Credentials, Mount
from tests.mounts.clusters import credentials, mounted_cluster
from tests.servers.azurite import azurite
from tests.servers.gcs import fake_gcs
from tests.servers.minio import minio
from tests.servers.seaweedfs import S3Server
from tests.servers.tls import certificate, proxy
from tests.servers.tokens import TokenServer, token_server

pytestmark = pytest.mark.soak

SECONDS = 3
PROGRAM = """
import json, os, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
end, counts = time.monotonic() + 20, []
while time.monotonic() < end:
    spark.range(10).coalesce(1).write.mode("append").json("dbfs:/mnt/store/table")
    counts.append(spark.read.json("dbfs:/mnt/store/table").count())
    time.sleep(1)
json.dump(counts, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""
STS = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{AccessKeyId}</AccessKeyId><SecretAccessKey>{SecretAccessKey}</SecretAccessKey><SessionToken>{SessionToken}</SessionToken>
<Expiration>{Expiration}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


def _runs(root: Path, mount: Mount, opens: Credentials, tokens: TokenServer, conf: dict[str, str]) -> None:
    """One job writes and reads for twenty seconds, and signs in anew meanwhile."""
    with mounted_cluster(root, {mount: opens}, spark_conf=conf) as cluster:
        counts = cluster.run(PROGRAM, api="classic")
    assert counts == [10 * (number + 1) for number in range(len(counts))]
    print(f"\n{mount.source}: {len(counts)} writes and reads, {len(tokens.asked)} logins", flush=True)
    assert len(tokens.asked) > 3


@contextmanager
def _sts(store: S3Server) -> Iterator[TokenServer]:
    """Hands out keys of the store's own STS, which are told to end a minute after S3A renews them."""
    import boto3

    keys = {"aws_access_key_id": store.key, "aws_secret_access_key": store.secret, "region_name": store.region}
    real = boto3.client("sts", endpoint_url=store.endpoint, **keys)

    def answer(number: int, asked: dict[str, str]) -> bytes:
        made = real.assume_role(RoleArn=asked["RoleArn"], RoleSessionName=asked["RoleSessionName"])["Credentials"]
        ends = datetime.now(UTC) + timedelta(seconds=60 + SECONDS)
        return STS.format(**{**made, "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()

    with token_server(answer) as server:
        yield server


def test_a_role_is_assumed_again(spark_root: Path) -> None:
    extra = {"role_arn": "arn:aws:iam::1:role/reader", "assume_role_kwargs": {"RoleSessionName": "test"}}
    with minio() as store, _sts(store) as tokens, certificate("sts.us-east-1.amazonaws.com") as shown:
        opens = credentials({**store.connection, "extra": {**store.connection["extra"], **extra}})
        with proxy(int(tokens.url.rpartition(":")[2]), shown) as at:
            options = {"spark.driver.extraJavaOptions": shown.java_options(at)}
            _runs(spark_root, Mount("store", f"s3://{store.make('renewed')}"), opens, tokens, options)


def _azure_token(number: int, asked: dict[str, str]) -> bytes:
    now = int(time.time())
    claims = {"iss": "https://sts.windows.net/test/", "aud": "https://storage.azure.com", "nbf": now - 5, "iat": now - 5}
    parts = ({"alg": "none", "typ": "JWT"}, {**claims, "exp": now + SECONDS, "jti": str(number)})
    token = ".".join([*(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts), "x"])
    ends = {"expires_in": str(SECONDS), "expires_on": str(now + SECONDS)}
    return json.dumps({"access_token": token, "token_type": "Bearer", "resource": asked.get("resource"), **ends}).encode()


def test_a_managed_identity_signs_in_again(spark_root: Path) -> None:
    with certificate() as shown, azurite(shown) as store, token_server(_azure_token) as tokens:
        extra = {"managed_identity_client_id": "client", "account_url": store.endpoint}
        opens = Credentials("store", "wasb", extra=extra)
        conf = {"spark.hadoop.fs.azure.account.oauth2.msi.endpoint": tokens.url}
        conf["spark.driver.extraJavaOptions"] = shown.java_options()
        _runs(spark_root, Mount("store", f"az://{store.make('renewed')}"), opens, tokens, conf)


def test_a_service_account_signs_in_again(spark_root: Path) -> None:
    with fake_gcs(token_seconds=SECONDS) as store:
        options = {"spark.driver.extraJavaOptions": store.java_options}
        opens = credentials(store.connection)
        _runs(spark_root, Mount("store", f"gs://{store.make('renewed')}"), opens, store.tokens, options)
