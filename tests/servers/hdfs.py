"""HDFS: a name node and a data node in one JVM, from Maven Central."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_ml_provider.backends.local.java import find_jdk
from airflow_ml_provider.backends.local.libraries import jars_of
from airflow_ml_provider.backends.local.supervisor import spark_home
from tests.processes import eventually
from tests.servers.process import CACHE, LOOPBACK, free_ports, running

_JARS = ("org.apache.hadoop:hadoop-client-minicluster:3.5.0", "org.junit.jupiter:junit-jupiter-api:5.13.4")
_OF_SPARK = ["org.apache.hadoop:hadoop-client-api", "org.apache.hadoop:hadoop-client-runtime", "org.xerial.snappy:snappy-java"]
_DETAILS = "details.json"


@contextmanager
def hdfs() -> Iterator[str]:
    """Run one that keeps its blocks in a folder that is gone at the end, and give its URI."""
    java, home = find_jdk().java, spark_home()
    asked = [{"kind": "maven", "coordinates": jar, "exclusions": _OF_SPARK, "repository": None} for jar in _JARS]
    jars = [*jars_of(CACHE, java, home, asked), f"{home}/jars/*"]
    (port,) = free_ports(1)
    command = [str(java), "-XX:TieredStopAtLevel=1", "-Xmx512m", "-cp", ":".join(jars)]
    flags = ["-format", "-datanodes", "1", "-nnport", str(port), "-writeDetails", _DETAILS]
    with running([*command, "org.apache.hadoop.test.MiniDFSClusterManager", *flags], port, within=240) as folder:
        eventually(lambda: (folder / _DETAILS).exists(), within=240)
        yield f"hdfs://{LOOPBACK}:{port}"
