"""Mounts on clusters of Amazon: which can be opened there, and what Spark is told of them. Pure.

What a mount's connection keeps secret travels as a cluster's secrets do, in an object of the staging area that its jobs read.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_ml_provider.backends.aws import releases
from airflow_ml_provider.core.mounts import HADOOP_KEY, OF_CLASSES, FileReference
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.core.storage.s3 import MACHINES_OWN

_OF_BUCKET = f"{HADOOP_KEY}fs.s3a.bucket."
_S3 = ("s3", "s3a", "s3n")
_OPENED = (*_S3, "hdfs")
_NO_CONNECTOR = "EMR brings no connector for it: takes s3:// and hdfs://"
_CLOSED = {
    "file": "it is a folder of one machine, which ends with the cluster: make a connection of type 'mount' with this id, or a "
    "Mount, that leads to s3:// or hdfs://"
}


def problems(spec: ClusterSpec, label: str) -> Iterator[str]:
    """What the service cannot honour of the mounts.

    :param label: of the cluster's release.
    """
    for mount in spec.mounts:
        if isinstance(mount, str):
            yield f"ClusterSpec.mounts: got {mount!r}: the id of a connection is known to Airflow's hook only: give a Mount"
        elif mount.scheme not in _OPENED:
            yield f"ClusterSpec.mounts: got {mount.source!r} as {mount.name!r}: {_CLOSED.get(mount.scheme, _NO_CONNECTOR)}"
    if spec.mounts and not releases.has_s3a(label):
        yield f"ClusterSpec.mounts: got the release {label}: takes emr-7.10.0 or later, where Hadoop's own connector opens S3"
    if any(isinstance(value, FileReference) for value in spec.spark_conf.values()):
        yield (
            "ClusterSpec.mounts: got a connection that signs in with a file on the cluster's machines: leave out conn_id, so that "
            "the cluster's own role opens it, or give one with keys"
        )


def properties(spec: ClusterSpec) -> dict[str, str]:
    """The spec's properties, the settings of its mounts among them, and what else mounts need of Spark."""
    return {
        **(OF_CLASSES if spec.mounts else {}),
        **{key: value for key, value in spec.spark_conf.items() if not _is_the_services_own(key, value)},
    }


def _is_the_services_own(key: str, value: str) -> bool:
    """Whether a setting leaves a bucket to whoever the machine is: the service knows best how its own role signs in."""
    return value == MACHINES_OWN and key.startswith(_OF_BUCKET) and key.endswith(".aws.credentials.provider")
