"""Azure Blob Storage and Data Lake: opened by ``wasb``, ``adls`` and ``azure_data_lake`` connections as Airflow's provider reads them.

``abfss://container@account.dfs.core.windows.net/path``, ``wasbs://container@account.blob.core.windows.net/path``, or
``az://container/path`` with the account in the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_ml_provider.core.storage.base import Credentials, Opened, join, link, split_source, takes_type, wrong_source

SCHEMES = ("abfs", "abfss", "az", "wasb", "wasbs")
_TYPES = ("wasb", "adls", "azure_data_lake")
_FORM = "abfss://container@account.dfs.core.windows.net/path, or az://container/path with the account in the connection"
_OAUTH = "org.apache.hadoop.fs.azurebfs.oauth2"
_AUTHORITY = "https://login.microsoftonline.com"
_SUFFIX = "core.windows.net"
_FACTORY = "org.apache.hadoop.fs.azurebfs.commit.AzureManifestCommitterFactory"
COMMITTER = {f"mapreduce.outputcommitter.factory.scheme.{scheme}": _FACTORY for scheme in ("abfs", "abfss")}
"""Tasks list what they wrote in manifests, and the job's commit renames from these lists, in parallel and with retries."""
_NO_METRICS = {"fs.azure.metrics.collection.enabled": "false"}
"""The threads that collect them would keep a Spark that nobody stops from ending."""


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account.

    :param suffix: what follows ``blob.`` and ``dfs.`` in its hosts' names.
    :param endpoint: host and port of a service at an address of its own, such as an emulator; None on Azure.
    :param secure: whether that service speaks TLS.
    """

    name: str
    suffix: str = _SUFFIX
    endpoint: str | None = None
    secure: bool = True

    @property
    def host(self) -> str:
        """What Hadoop's settings end in."""
        return f"{self.name}.dfs.{self.suffix}"


@dataclass(frozen=True, slots=True)
class Login:
    """How requests are authorised: settings of one account, without their ending, and arguments of ``adlfs``."""

    conf: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def open_azure(source: str, credentials: Credentials | None) -> Opened:
    """A container or a place in it, through ABFS. Every setting of the login is the account's own."""
    if credentials is not None:
        takes_type(credentials, source, *_TYPES)
    parts = split_source(source)
    container, at, host = parts.netloc.partition("@")
    account = _account(source, host, credentials)
    if not container or (at and not host):
        raise wrong_source(source, _FORM)
    login = _login(credentials, account)
    place = f"{'abfss' if account.secure else 'abfs'}://{container}@{account.host}"
    return Opened(
        link=link(place, parts.path),
        protocol="abfs",
        path=join(container, parts.path),
        conf={**COMMITTER, **_NO_METRICS, **_endpoint(account, blob=parts.scheme.startswith("wasb")), **_of(account, login.conf)},
        secrets=_of(account, login.secrets),
        options={"account_name": account.name, **login.options},
    )


def _account(source: str, host: str, credentials: Credentials | None) -> Account:
    """The account that the source names, or else the connection; an endpoint of its own is in the connection only."""
    known = _account_of(credentials) if credentials is not None else None
    if not host:
        if known is None:
            raise wrong_source(source, _FORM)
        return known
    name, _, rest = host.partition(".")
    service, _, suffix = rest.partition(".")
    if service not in ("blob", "dfs") or not suffix:
        raise wrong_source(source, _FORM)
    if known is not None and known.name == name and known.endpoint:
        return known
    return Account(name, suffix)


def _account_of(credentials: Credentials) -> Account | None:
    """The account that the connection names: in its connection string, its host, or its login."""
    given = _connection_string(credentials)
    url = given.get("BlobEndpoint") or credentials.get("account_url") or credentials.host
    name = given.get("AccountName") or credentials.get("account_name")
    if "://" in url:
        return _account_at(url, name)
    login = None if credentials.get("tenant_id") or credentials.get("tenant") else credentials.login
    name = name or url.partition(".")[0] or login
    return Account(name, given.get("EndpointSuffix") or _SUFFIX) if name else None


def _account_at(url: str, name: str | None) -> Account | None:
    """``https://account.blob.core.windows.net`` is on Azure; ``http://127.0.0.1:10000/account`` is not."""
    parts = urlsplit(url)
    first, _, rest = (parts.hostname or "").partition(".")
    service, _, suffix = rest.partition(".")
    if service in ("blob", "dfs") and suffix and name in (None, first):
        return Account(first, suffix)
    name = name or parts.path.strip("/") or None
    return Account(name, endpoint=parts.netloc, secure=parts.scheme == "https") if name else None


def _endpoint(account: Account, *, blob: bool) -> dict[str, str]:
    """Settings of a service that is not Azure's own. Those without the account in their name hold for every account."""
    if account.endpoint is None:
        return _of(account, {"fs.azure.fns.account.service.type": "BLOB"}) if blob else {}
    own = {"fs.azure.account.hns.enabled": "false", "fs.azure.fns.account.service.type": "BLOB"}
    return {
        **_of(account, own),
        "fs.azure.abfs.endpoint": account.endpoint,
        "fs.azure.always.use.https": str(account.secure).lower(),
        "fs.azure.networking.library": "JDK_HTTP_URL_CONNECTION",
    }


def _login(credentials: Credentials | None, account: Account) -> Login:
    """The first that the connection has, in the order in which Airflow's provider looks."""
    if credentials is None:
        return _managed_identity(None)
    given = _connection_string(credentials)
    tenant = credentials.get("tenant_id") or credentials.get("tenant")
    key = given.get("AccountKey") or credentials.get("shared_access_key") or credentials.get("account_key")
    sas = given.get("SharedAccessSignature") or credentials.get("sas_token")
    if given.get("AccountKey"):
        return _key(given["AccountKey"], account)
    if tenant:
        return _service_principal(credentials, tenant)
    if key:
        return _key(key, account)
    if sas:
        return _sas(sas.rpartition("?")[2], account)
    if credentials.password:
        return _key(credentials.password, account)
    if credentials.get("workload_identity_tenant_id"):
        return _workload_identity(credentials)
    return _managed_identity(credentials.get("managed_identity_client_id"))


def _key(key: str, account: Account) -> Login:
    return Login(secrets={"fs.azure.account.key": key}, options=_adlfs(account, account_key=("AccountKey", key)))


def _sas(token: str, account: Account) -> Login:
    conf = {"fs.azure.account.auth.type": "SAS"}
    return Login(conf, {"fs.azure.sas.fixed.token": token}, _adlfs(account, sas_token=("SharedAccessSignature", token)))


def _service_principal(credentials: Credentials, tenant: str) -> Login:
    if not credentials.login or not credentials.password:
        name = "password" if credentials.login else "login"
        raise credentials.wrong(name, "is empty: a tenant id takes a client's id in login and its secret in password")
    authority = (credentials.get("client_secret_auth_config") or {}).get("authority") or _AUTHORITY
    authority = authority if "://" in authority else f"https://{authority}"
    conf = {
        **_oauth("ClientCredsTokenProvider"),
        "fs.azure.account.oauth2.client.id": credentials.login,
        "fs.azure.account.oauth2.client.endpoint": f"{authority.rstrip('/')}/{tenant}/oauth2/token",
    }
    options = {"tenant_id": tenant, "client_id": credentials.login, "client_secret": credentials.password}
    return Login(conf, {"fs.azure.account.oauth2.client.secret": credentials.password}, options)


def _workload_identity(credentials: Credentials) -> Login:
    """The token's file is Kubernetes' own, which is read anew for each token."""
    client = credentials.get("workload_identity_client_id") or credentials.get("managed_identity_client_id")
    if not client:
        raise credentials.wrong("managed_identity_client_id", "is empty: a workload identity takes its client's id")
    conf = {
        **_oauth("WorkloadIdentityTokenProvider"),
        "fs.azure.account.oauth2.client.id": client,
        "fs.azure.account.oauth2.msi.tenant": credentials.get("workload_identity_tenant_id"),
    }
    return Login(conf, options={"anon": False})


def _managed_identity(client: str | None) -> Login:
    conf = {**_oauth("MsiTokenProvider"), **({"fs.azure.account.oauth2.client.id": client} if client else {})}
    return Login(conf, options={"anon": False})


def _oauth(provider: str) -> dict[str, str]:
    return {"fs.azure.account.auth.type": "OAuth", "fs.azure.account.oauth.provider.type": f"{_OAUTH}.{provider}"}


def _adlfs(account: Account, **named: tuple[str, str]) -> dict[str, Any]:
    """One secret for ``adlfs``: an argument on Azure, in a connection string for another endpoint."""
    ((argument, (word, value)),) = named.items()
    if account.endpoint is None:
        return {argument: value}
    blob = f"{'https' if account.secure else 'http'}://{account.endpoint}/{account.name}"
    scheme = blob.partition(":")[0]
    text = f"DefaultEndpointsProtocol={scheme};AccountName={account.name};{word}={value};BlobEndpoint={blob};"
    return {"connection_string": text}


def _connection_string(credentials: Credentials) -> dict[str, str]:
    text = credentials.get("connection_string") or ""
    return {name: value for name, _, value in (item.partition("=") for item in text.split(";")) if value}


def _of(account: Account, settings: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}.{account.host}": value for name, value in settings.items()}
