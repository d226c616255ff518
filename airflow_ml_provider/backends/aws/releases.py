"""EMR's releases by the Spark version that they bring. Pure."""

from __future__ import annotations

from airflow_ml_provider.core.errors import SpecError

NEWEST = "emr-7.13.0"
_RELEASES: tuple[tuple[str, str], ...] = (
    ("3.5.6", "emr-7.13.0"),
    ("3.5.5", "emr-7.10.0"),
    ("3.5.4", "emr-7.8.0"),
    ("3.5.3", "emr-7.7.0"),
    ("3.5.2", "emr-7.5.0"),
    ("3.5.1", "emr-7.3.0"),
    ("3.5.0", "emr-7.1.0"),
    ("3.4.1", "emr-6.15.0"),
    ("3.3.2", "emr-6.11.1"),
)


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
