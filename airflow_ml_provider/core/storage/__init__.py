"""What a source and an Airflow connection mean to Hadoop and to fsspec: one module a kind of storage. Pure tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_ml_provider.core.storage import azure, google, places, s3, sftp
from airflow_ml_provider.core.storage.base import Credentials, Opened, split_source

__all__ = ["CONNECTORS", "SCHEMES", "Credentials", "Opened", "split_source"]

SCHEMES: Mapping[str, Callable[[str, Credentials | None], Opened]] = {
    **dict.fromkeys(s3.SCHEMES, s3.open_s3),
    **dict.fromkeys(azure.SCHEMES, azure.open_azure),
    **dict.fromkeys(google.SCHEMES, google.open_google),
    **dict.fromkeys(places.HDFS_SCHEMES, places.open_hdfs),
    **dict.fromkeys(places.FILE_SCHEMES, places.open_folder),
    **dict.fromkeys(sftp.SCHEMES, sftp.open_sftp),
}
"""What opens a source, by its scheme."""
CONNECTORS: Mapping[str, str] = {
    **dict.fromkeys(s3.SCHEMES, "aws"),
    **dict.fromkeys(azure.SCHEMES, "azure"),
    **dict.fromkeys(google.SCHEMES, "gcs"),
}
"""The connector that Hadoop needs, by scheme; what is not here it opens itself."""
