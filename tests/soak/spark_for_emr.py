"""The Spark of this machine as the machines of EMR have theirs.

``EMR_SPARK_PYTHON`` names another interpreter with a PySpark of its own, such as 3.5, which EMR has, and ``EMR_SPARK_JARS`` what that
one needs for S3, colons between.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow_ml_provider.backends.local.connectors import class_path
from airflow_ml_provider.backends.local.java import find_jdk, with_shim
from airflow_ml_provider.backends.local.supervisor import spark_home
from tests.fakes.emr import Spark


def spark_for_emr(root: Path, master: str = "local[2]") -> Spark:
    """With Hadoop's connector for S3.

    :param root: of the local backend, whose cache keeps the connector.
    :param master: as ``spark-submit`` takes it.
    """
    jdk = with_shim(find_jdk(), root / "cache")
    if python := os.environ.get("EMR_SPARK_PYTHON"):
        return Spark(jdk.home, tuple(map(Path, os.environ["EMR_SPARK_JARS"].split(":"))), master, Path(python))
    return Spark(jdk.home, tuple(class_path(root / "cache", spark_home(), jdk.java, ["aws"])), master)
