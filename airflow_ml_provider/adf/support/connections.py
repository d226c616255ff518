"""Linked services as Airflow connections: which ones an export needs, and of which type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from airflow_ml_provider.adf.expressions.properties import DEEPEST, expressions
from airflow_ml_provider.adf.fields import pick, read_reference
from airflow_ml_provider.adf.model import Factory, Json, Resource
from airflow_ml_provider.adf.support.connection_variants import argument_sets, conn_id_of, connection_id
from airflow_ml_provider.core.errors import SpecError

_TYPES = {
    **dict.fromkeys(("AzureBlobStorage", "AzureBlobFS", "AzureDataLakeStore", "AzureFileStorage", "AzureStorage"), "mount"),
    **dict.fromkeys(("AmazonS3", "AmazonS3Compatible", "GoogleCloudStorage", "Hdfs", "FileServer", "Sftp"), "mount"),
    **dict.fromkeys(("AzureSqlDatabase", "AzureSqlDW", "AzureSqlMI", "AzureSynapseAnalytics", "SqlServer"), "mssql"),
    **dict.fromkeys(("AzurePostgreSql", "PostgreSql", "AmazonRdsForPostgreSql", "GreenplumTable"), "postgres"),
    **dict.fromkeys(("AzureMySql", "MySql", "AzureMariaDB", "MariaDB"), "mysql"),
    **dict.fromkeys(("AzureDatabricks", "HDInsight", "HDInsightOnDemand", "AzureSynapseArtifacts"), "spark_cluster"),
    **dict.fromkeys(("AzureFunction", "HttpServer", "RestService", "Web", "OData"), "http"),
    "Oracle": "oracle",
    "Snowflake": "snowflake",
    "SnowflakeV2": "snowflake",
    "FtpServer": "ftp",
    "AmazonRedshift": "redshift",
    "GoogleBigQuery": "google_cloud_platform",
    "Odbc": "odbc",
    "MongoDb": "mongo",
}
_BY_NAME = {name.casefold(): found for name, found in _TYPES.items()}
_SECRETS = "azurekeyvault"
SECRETS_BACKEND = "secrets backend"
_STORAGE = ("azureblobstorage", "azureblobfs", "azurestorage")


class Needed(NamedTuple):
    """A connection that a user must create.

    :param conn_id: with ``{name}`` in the place of an argument whose value only a run knows: it is one connection for each value.
    :param conn_type: Airflow's type; ``secrets backend`` for a Key Vault, empty where Airflow has none.
    """

    conn_id: str
    conn_type: str
    service: str
    service_type: str


def needed(factory: Factory) -> Iterator[Needed]:
    """The connections for an export's linked services, in its order, for the storage accounts that triggers watch and
    for SQL pools of Synapse; each once.
    """
    seen: set[str] = set()
    for one in chain(_services(factory), _watched(factory), _pools(factory)):
        if one.conn_id not in seen:
            seen.add(one.conn_id)
            yield one


def _services(factory: Factory) -> Iterator[Needed]:
    for service in factory.linked_services:
        kind = service.type.casefold()
        conn_type = SECRETS_BACKEND if kind == _SECRETS else _BY_NAME.get(kind, "")
        for conn_id in _conn_ids(factory, service) or [conn_id_of(service.name)]:
            yield Needed(conn_id, conn_type, service.name, service.type)


def _conn_ids(factory: Factory, service: Resource) -> list[str]:
    """The ids for each set of arguments; ``{name}`` stands where only a run knows the value."""
    declared = pick(service.properties, "parameters")
    if not isinstance(declared, Mapping) or service.type.casefold() == _SECRETS:
        return []
    found = []
    for values in argument_sets(factory, service):
        try:
            unknown = "__".join([conn_id_of(service.name), *(f"{{{name}}}" for name in declared)])
            found.append(unknown if values is None else connection_id(service.name, service, values))
        except SpecError:
            continue  # the activity's verdict says why
    return list(dict.fromkeys(found))


def _watched(factory: Factory) -> Iterator[Needed]:
    for trigger in factory.triggers:
        if trigger.type.casefold() == "blobeventstrigger":
            account = str(pick(trigger.type_properties, "scope") or "").rpartition("/")[2]
            yield Needed(storage_of(factory, account), "mount", trigger.name, trigger.type)


def _pools(factory: Factory) -> Iterator[Needed]:
    for one in chain.from_iterable(pipeline.walk() for pipeline in factory.pipelines):
        pool = one.linked_service.name if one.linked_service and one.type.casefold() == "sqlpoolstoredprocedure" else ""
        if pool and not list(expressions(pool)):
            yield Needed(conn_id_of(pool), "mssql", pool, "SqlPool")


class Secret(NamedTuple):
    """A secret of a Key Vault that an export refers to: here, the Airflow variable of that name, which a secrets backend can hold.

    :param vault: the Key Vault's linked service.
    :param url: of the vault; empty where the export has it as an expression or not at all.
    """

    name: str
    vault: str
    url: str


def secrets(factory: Factory) -> list[Secret]:
    """The secrets that linked services, datasets and activities refer to by name, each once, sorted."""
    bags = [one.properties for one in (*factory.linked_services, *factory.datasets)]
    bags += [one.type_properties for pipeline in factory.pipelines for one in pipeline.walk()]
    return sorted({_secret(factory, found) for bag in bags for found in _references(bag, 0)})


def _secret(factory: Factory, raw: Mapping[str, Json]) -> Secret:
    store = read_reference(pick(raw, "store"))
    vault = factory.linked_service(store.name) if store else None
    url = pick(vault.type_properties, "baseUrl") if vault else None
    return Secret(
        str(pick(raw, "secretName")), store.name if store else "", url if isinstance(url, str) and "@" not in url else ""
    )


def _references(tree: Json, depth: int) -> Iterator[Mapping[str, Json]]:
    if isinstance(tree, Mapping) and pick(tree, "type") == "AzureKeyVaultSecret" and isinstance(pick(tree, "secretName"), str):
        yield tree
    elif depth < DEEPEST and isinstance(tree, Mapping | list):
        for inner in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _references(inner, depth + 1)


def storage_of(factory: Factory, account: str) -> str:
    """The id of the connection to a storage account: that of the linked service that names it, of the only one there is, or else one of
    the account's own name.
    """
    stores = [one for one in factory.linked_services if one.type.casefold() in _STORAGE]
    named = [one for one in stores if account and account.casefold() in json.dumps(one.properties).casefold()]
    found = named[:1] or (stores if len(stores) == 1 else [])
    return conn_id_of(found[0].name if found else account)
