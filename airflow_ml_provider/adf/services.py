"""Linked services as Airflow connections: which ones an export needs, and of which type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from airflow_ml_provider.adf.graph import Factory

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9]+")
_TYPES = {
    **dict.fromkeys(("AzureBlobStorage", "AzureBlobFS", "AzureDataLakeStore", "AzureFileStorage", "AzureStorage"), "mount"),
    **dict.fromkeys(("AmazonS3", "AmazonS3Compatible", "GoogleCloudStorage", "Hdfs", "FileServer"), "mount"),
    **dict.fromkeys(("AzureSqlDatabase", "AzureSqlDW", "AzureSqlMI", "AzureSynapseAnalytics", "SqlServer"), "mssql"),
    **dict.fromkeys(("AzurePostgreSql", "PostgreSql", "AmazonRdsForPostgreSql", "GreenplumTable"), "postgres"),
    **dict.fromkeys(("AzureMySql", "MySql", "AzureMariaDB", "MariaDB"), "mysql"),
    **dict.fromkeys(("AzureDatabricks", "HDInsight", "HDInsightOnDemand", "AzureSynapseArtifacts"), "spark_cluster"),
    **dict.fromkeys(("AzureFunction", "HttpServer", "RestService", "Web", "OData"), "http"),
    "Oracle": "oracle",
    "Snowflake": "snowflake",
    "SnowflakeV2": "snowflake",
    "Sftp": "sftp",
    "FtpServer": "ftp",
    "AmazonRedshift": "redshift",
    "GoogleBigQuery": "google_cloud_platform",
    "Odbc": "odbc",
    "MongoDb": "mongo",
}
_BY_NAME = {name.casefold(): found for name, found in _TYPES.items()}
_SECRETS = "azurekeyvault"
_STORAGE = ("azureblobstorage", "azureblobfs", "azurestorage")


class Needed(NamedTuple):
    """A connection that a user must create.

    :param conn_type: Airflow's type; ``secrets backend`` for a Key Vault, empty where Airflow has none.
    """

    conn_id: str
    conn_type: str
    service: str
    service_type: str


def conn_id_of(service: str) -> str:
    """The connection's id for a linked service: its name in lower case, every other character than letters and digits a ``_``."""
    return _NOT_IN_IDS.sub("_", service).strip("_").lower() or "unnamed"


def needed(factory: Factory) -> Iterator[Needed]:
    """The connections for an export's linked services, in its order."""
    for service in factory.linked_services:
        kind = service.type.casefold()
        conn_type = "secrets backend" if kind == _SECRETS else _BY_NAME.get(kind, "")
        yield Needed(conn_id_of(service.name), conn_type, service.name, service.type)


def storage_of(factory: Factory, account: str) -> str:
    """The id of the connection to a storage account: that of the linked service that names it, of the only one there is, or else one of
    the account's own name.
    """
    stores = [one for one in factory.linked_services if one.type.casefold() in _STORAGE]
    named = [one for one in stores if account and account.casefold() in json.dumps(one.properties).casefold()]
    found = named[:1] or (stores if len(stores) == 1 else [])
    return conn_id_of(found[0].name if found else account)
