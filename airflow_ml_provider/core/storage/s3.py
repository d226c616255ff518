"""S3 and what speaks its language: ``s3://bucket/path``, opened by an ``aws`` connection as Airflow's Amazon provider reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow_ml_provider.core.storage.base import (
    Credentials,
    FileReference,
    Opened,
    join,
    link,
    split_source,
    takes_type,
    wrong_source,
)

SCHEMES = ("s3", "s3a", "s3n")
_PROVIDERS = "org.apache.hadoop.fs.s3a"
_SDK = "software.amazon.awssdk.auth.credentials"
_KEYS = f"{_PROVIDERS}.SimpleAWSCredentialsProvider"
_SESSION = f"{_PROVIDERS}.TemporaryAWSCredentialsProvider"
_ANONYMOUS = f"{_PROVIDERS}.AnonymousAWSCredentialsProvider"
_PROFILE = f"{_PROVIDERS}.auth.ProfileAWSCredentialsProvider"
_ROLE = f"{_PROVIDERS}.auth.AssumedRoleCredentialProvider"
MACHINES_OWN = f"{_SDK}.DefaultCredentialsProvider"
"""Signs in as whoever the machine is, where nothing else knows better."""
_ANYWHERE = "us-east-1"
COMMITTER = {
    "mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory",
    "fs.s3a.committer.name": "magic",
    "fs.s3a.committer.magic.enabled": "true",
    "fs.s3a.committer.abort.pending.uploads": "false",  # those of another job that writes there too
}
"""Output appears by completed uploads: no data is ever renamed, which on S3 is a copy."""


@dataclass(frozen=True, slots=True)
class Login:
    """How requests are signed: settings of one bucket, without their prefix, and arguments of ``s3fs``."""

    conf: Mapping[str, str]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    assumes_role: bool = False


def open_s3(source: str, credentials: Credentials | None) -> Opened:
    """A bucket or a place in it. Every setting is the bucket's own, so that two buckets may have two connections."""
    parts = split_source(source)
    if not parts.netloc or "@" in parts.netloc or ":" in parts.netloc:
        raise wrong_source(source, "s3://bucket/path, and an endpoint in the connection")
    if credentials is not None:
        takes_type(credentials, source, "aws")
    prefix = f"fs.s3a.bucket.{parts.netloc}."
    login = _login(credentials)
    conf, options = _place(credentials)
    return Opened(
        link=link(f"s3a://{parts.netloc}", parts.path),
        protocol="s3",
        path=join(parts.netloc, parts.path),
        conf={**COMMITTER, **_prefixed(prefix, {**conf, **login.conf})},
        secrets=_prefixed(prefix, login.secrets),
        files=login.files,
        options={**options, **login.options},
        assumes_role=login.assumes_role,
    )


def _place(credentials: Credentials | None) -> tuple[dict[str, str], dict[str, Any]]:
    """Where the service is: settings, and arguments of ``s3fs``."""
    if credentials is None:
        return {}, {}
    endpoint, region = (
        _service(credentials, "s3").get("endpoint_url") or credentials.get("endpoint_url"),
        credentials.get("region_name"),
    )
    conf: dict[str, str] = {}
    options: dict[str, Any] = {}
    if endpoint:
        conf |= {
            "endpoint": endpoint,
            "path.style.access": "true",
            "connection.ssl.enabled": str(not endpoint.startswith("http://")).lower(),
        }
        options["endpoint_url"] = endpoint
        region = region or _ANYWHERE
    if region:
        conf["endpoint.region"] = region
        options["client_kwargs"] = {"region_name": region}
    if (verify := credentials.extra.get("verify")) is not None:
        options["client_kwargs"] = {**options.get("client_kwargs", {}), "verify": verify}
    return conf, options


def _login(credentials: Credentials | None) -> Login:
    if credentials is None:
        return Login({"aws.credentials.provider": MACHINES_OWN})
    if credentials.get("role_arn"):
        return _role(credentials)
    return _base_login(credentials)


def _base_login(credentials: Credentials) -> Login:
    """Who asks, before any role is assumed: keys, a profile, nobody, or whoever the machine is."""
    given = credentials.get("session_kwargs") or {}
    key = credentials.login or credentials.get("aws_access_key_id") or given.get("aws_access_key_id")
    secret = credentials.password or credentials.get("aws_secret_access_key") or given.get("aws_secret_access_key")
    token = credentials.get("aws_session_token") or given.get("aws_session_token")
    profile = credentials.get("profile_name") or given.get("profile_name")
    if key and not secret:
        raise credentials.wrong("password", "is empty: takes the secret access key of the access key in login")
    if key and secret:
        return _keys(key, secret, token)
    if profile:
        return Login({"aws.credentials.provider": _PROFILE, "auth.profile.name": profile}, options={"profile": profile})
    if (credentials.get("config_kwargs") or {}).get("signature_version") == "unsigned":
        return Login({"aws.credentials.provider": _ANONYMOUS}, options={"anon": True})
    return Login({"aws.credentials.provider": MACHINES_OWN})


def _keys(key: str, secret: str, token: str | None) -> Login:
    secrets = {"access.key": key, "secret.key": secret, **({"session.token": token} if token else {})}
    options = {"key": key, "secret": secret, **({"token": token} if token else {})}
    return Login({"aws.credentials.provider": _SESSION if token else _KEYS}, secrets, options=options)


def _role(credentials: Credentials) -> Login:
    method = credentials.get("assume_role_method") or "assume_role"
    if method == "assume_role":
        return _assumed_role(credentials)
    if method == "assume_role_with_web_identity":
        return _web_identity(credentials)
    takes = "takes 'assume_role' or 'assume_role_with_web_identity': Hadoop can renew no other"
    raise credentials.wrong("assume_role_method", f"got {method!r}: {takes}")


def _assumed_role(credentials: Credentials) -> Login:
    """S3A asks STS itself, again and again before the answer expires."""
    base = _base_login(credentials)
    given = credentials.get("assume_role_kwargs") or {}
    region = _service(credentials, "sts").get("region_name") or credentials.get("region_name") or _ANYWHERE
    conf = {
        **base.conf,
        "aws.credentials.provider": _ROLE,
        "assumed.role.credentials.provider": base.conf["aws.credentials.provider"],
        "assumed.role.arn": credentials.get("role_arn"),
        "assumed.role.session.name": given.get("RoleSessionName"),
        "assumed.role.session.duration": f"{given['DurationSeconds']}s" if given.get("DurationSeconds") else None,
        "assumed.role.external.id": given.get("ExternalId"),
        "assumed.role.policy": given.get("Policy"),
        "assumed.role.sts.endpoint": _sts_host(credentials) or f"sts.{region}.amazonaws.com",
        "assumed.role.sts.endpoint.region": region,
    }
    return Login({key: value for key, value in conf.items() if value}, base.secrets, assumes_role=True)


def _sts_host(credentials: Credentials) -> str | None:
    """Of an endpoint of its own. S3A puts ``https://`` before it, and nothing behind."""
    url = urlsplit(_service(credentials, "sts").get("endpoint_url") or "")
    if url.netloc and (url.scheme != "https" or url.port or url.path.strip("/")):
        raise credentials.wrong("service_config", "the endpoint_url of sts takes https://host alone: Hadoop reaches no other")
    return url.netloc or None


def _web_identity(credentials: Credentials) -> Login:
    """A profile of our own tells the SDK the role and the token's file, both of which it reads anew when they expire."""
    token_file = credentials.get("assume_role_with_web_identity_token_file")
    if credentials.get("assume_role_with_web_identity_federation") not in (None, "file") or not token_file:
        takes = "takes the path of a file on the cluster that holds the token, and the federation 'file'"
        raise credentials.wrong("assume_role_with_web_identity_token_file", takes)
    session = (credentials.get("assume_role_kwargs") or {}).get("RoleSessionName") or "airflow"
    name = f"aws-{credentials.conn_id}"
    lines = (
        f"[{name}]",
        f"role_arn = {credentials.get('role_arn')}",
        f"web_identity_token_file = {token_file}",
        f"role_session_name = {session}",
    )
    conf = {"aws.credentials.provider": _PROFILE, "auth.profile.name": name, "auth.profile.file": FileReference(name)}
    return Login(conf, files={name: "\n".join(lines) + "\n"}, assumes_role=True)


def _service(credentials: Credentials, name: str) -> dict[str, Any]:
    return dict((credentials.get("service_config") or {}).get(name) or {})


def _prefixed(prefix: str, settings: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}{name}": value for name, value in settings.items()}
