"""EMR's releases by the Spark version that they bring, and what else differs between them. Pure.

Sources, of the services' own guides: "Spark release history", "Application versions in Amazon EMR 7.x releases" and "Amazon runtime
for Apache Spark (emr-spark-8.0.0)" (versions; the Pythons that the last one brings begin with 3.11),
"Amazon EMR release 7.13.0" (its PySpark runs Python 3.11, that of the others before it 3.9), "Migration Guide: EMRFS to S3A
Filesystem" (S3A opens every scheme of S3 from 7.10.0 on, on EMR Serverless too), the pages "EMR Serverless 6.11.0" to "7.13.0", and
"Interactive sessions" (on EMR since emr-spark-8.0.0, on EMR Serverless since emr-7.13.0).
"""

from __future__ import annotations

import re

from airflow_ml_provider.core.errors import SpecError

NEWEST = "emr-7.13.0"
_RELEASES: tuple[tuple[str, str], ...] = (
    ("4.0.2", "emr-spark-8.0.0"),
    ("3.5.6", "emr-7.13.0"),
    ("3.5.5", "emr-7.10.0"),
    ("3.5.4", "emr-7.8.0"),
    ("3.5.3", "emr-7.7.0"),
    ("3.5.2", "emr-7.5.0"),
    ("3.5.1", "emr-7.3.0"),
    ("3.5.0", "emr-7.1.0"),
    ("3.4.1", "emr-6.15.0"),
    ("3.3.2", "emr-6.11.0"),  # EMR Serverless has no 6.11.1
)
_LABEL = re.compile(r"emr-(?:spark-)?(\d+)\.(\d+)")
_S3A_EVERYWHERE = (7, 10)
_SESSIONS = {"emr": (8, 0), "emr-serverless": (7, 13)}
_PYTHONS: tuple[tuple[tuple[int, int], str], ...] = (((7, 13), "3.11"), ((7, 0), "3.9"), ((0, 0), "3.7"))


def release_label(spark_version: str | None) -> str:
    """The newest release with a Spark version, given from its beginning."""
    if spark_version is None:
        return NEWEST
    for version, label in _RELEASES:
        if version == spark_version or version.startswith(f"{spark_version}."):
            return label
    known = ", ".join(version for version, _ in _RELEASES)
    raise SpecError(
        f"ClusterSpec.spark_version: got {spark_version!r}: EMR is known to bring {known}: "
        "leave it out and name the release in native, as ReleaseLabel (EMR) or releaseLabel (EMR Serverless)"
    )


def python_of(label: str) -> str:
    """The Python that runs PySpark, ``3.11`` style."""
    return next(python for since, python in _PYTHONS if _version(label) >= since)


def has_s3a(label: str) -> bool:
    """Whether Hadoop's own connector opens S3 there, whose settings those of mounts are."""
    return _version(label) >= _S3A_EVERYWHERE


def has_sessions(label: str, service: str) -> bool:
    """Whether clusters of the release can serve Spark Connect."""
    return _version(label) >= _SESSIONS[service] and not label.endswith("-preview")


def spark_of(label: str) -> str | None:
    """The Spark version of a release; None when it is not known."""
    return next((version for version, known in _RELEASES if known == label), None)


def _version(label: str) -> tuple[int, int]:
    """Of a release; one whose label is unknown is taken for the newest."""
    found = _LABEL.match(label) or _LABEL.match(NEWEST)
    assert found
    return int(found[1]), int(found[2])
