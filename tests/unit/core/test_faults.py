"""Every exception class of every client library is in a table: a new one in a later version fails here."""

from __future__ import annotations

import errno
import importlib
import inspect
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_ml_provider.core.errors import AccessDenied, ConfigurationError, Unavailable
from airflow_ml_provider.core.storage.faults import TABLES, kind_of, translated

MODULES = {
    "botocore": ["botocore.exceptions"],
    "aiohttp": ["aiohttp.client_exceptions"],
    "azure": ["azure.core.exceptions", "azure.identity"],
    "google": ["gcsfs.retry", "gcsfs.checkers", "google.auth.exceptions", "requests.exceptions"],
    "asyncssh": ["asyncssh.misc", "asyncssh.sftp", "asyncssh.process"],
}
# Their root says nothing of what to do next, so a class below it must be in the table itself, or below another one that is.
ROOTS = {"aiohttp.client_exceptions.ClientError", "requests.exceptions.RequestException", "asyncssh.misc.Error"}


def classes(library: str) -> Iterator[type[BaseException]]:
    for module in map(importlib.import_module, MODULES[library]):
        package = module.__name__.partition(".")[0]
        for cls in filter(inspect.isclass, vars(module).values()):
            if issubclass(cls, Exception) and not issubclass(cls, Warning) and cls.__module__.partition(".")[0] == package:
                yield cls


@pytest.mark.parametrize("library", MODULES)
def test_every_class_of_a_library_is_in_its_table(library: str) -> None:
    table = set(TABLES[library])
    for cls in classes(library):
        names = [f"{one.__module__}.{one.__qualname__}" for one in cls.__mro__]
        known = [name for name in names if name in table]
        assert known, names[0]
        if names[0] not in table:
            assert known[0] not in ROOTS, names[0]


def made(cls: type[BaseException], **attributes: Any) -> BaseException:
    """An instance whose constructor does not matter."""
    error = cls.__new__(cls)
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def client_error(code: str, status: int) -> Exception:
    from botocore.exceptions import ClientError

    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "ListObjectsV2")


def passing() -> Iterator[BaseException]:
    import asyncssh
    from aiohttp import client_exceptions as aiohttp
    from azure.core import exceptions as azure
    from botocore import exceptions as botocore
    from gcsfs.retry import HttpError
    from google.auth.exceptions import TransportError
    from s3fs.errors import translate_boto_error

    yield from (
        ConnectionRefusedError(),
        ConnectionResetError(),
        BrokenPipeError(),
        TimeoutError(),
        socket.gaierror(-2, "unknown"),
    )
    yield from (ssl.SSLError("EOF"), OSError(errno.EHOSTUNREACH, "no route"), OSError(errno.EBUSY, "SlowDown"))
    for name in ("EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError", "SSLError"):
        yield getattr(botocore, name)(endpoint_url="https://s3", error="x", proxy_url="http://proxy")
    yield from (client_error("SlowDown", 503), client_error("InternalError", 500), client_error("Throttling", 400))
    yield from map(translate_boto_error, (client_error("SlowDown", 503), client_error("InternalError", 500)))
    yield translate_boto_error(client_error("Odd", 502))
    yield from (made(aiohttp.ServerDisconnectedError), made(aiohttp.ClientConnectorDNSError), aiohttp.ClientPayloadError())
    yield from (
        azure.ServiceRequestError("x"),
        azure.ServiceResponseTimeoutError("x"),
        made(azure.HttpResponseError, status_code=503),
    )
    yield made(azure.HttpResponseError, status_code=429)
    yield from (HttpError({"code": 503}), HttpError({"code": 429}), HttpError({"code": "500"}), TransportError("x"))
    yield from (asyncssh.ConnectionLost("x"), asyncssh.SFTPConnectionLost("x"), asyncssh.SFTPNoConnection("x"))
    # what libhdfs gives, see hdfsThunk's printed exceptions: the text is all there is
    yield OSError(255, "Unknown error 255: java.net.ConnectException: Call From a to b:8020 failed")
    yield OSError(255, "RemoteException: org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create file")


def denied() -> Iterator[BaseException]:
    import asyncssh
    from azure.core import exceptions as azure
    from gcsfs.retry import HttpError
    from s3fs.errors import translate_boto_error

    yield from (PermissionError("no"), client_error("AccessDenied", 403), translate_boto_error(client_error("AccessDenied", 403)))
    yield from (
        translate_boto_error(client_error("InvalidAccessKeyId", 403)),
        translate_boto_error(client_error("ExpiredToken", 400)),
    )
    yield from (azure.ClientAuthenticationError("x"), made(azure.HttpResponseError, status_code=403))
    yield from (HttpError({"code": 401}), OSError("Forbidden: b/bucket/o\nno"))  # gcsfs.retry.validate_response
    yield from (asyncssh.PermissionDenied("x"), asyncssh.SFTPPermissionDenied("x"))
    yield OSError(13, "org.apache.hadoop.security.AccessControlException: Permission denied: user=ann")


def test_passing_faults_are_passing_and_denials_are_final() -> None:
    assert {repr(error): kind_of(error) for error in passing() if kind_of(error) is not Unavailable} == {}
    assert {repr(error): kind_of(error) for error in denied() if kind_of(error) is not AccessDenied} == {}


def test_an_answer_stays_what_it_is() -> None:
    from azure.core.exceptions import ResourceNotFoundError
    from botocore.exceptions import NoCredentialsError

    for answer in (
        FileNotFoundError("a"),
        FileExistsError("a"),
        IsADirectoryError("a"),
        ValueError("a"),
        ResourceNotFoundError("a"),
    ):
        with pytest.raises(type(answer)), translated("mount://raw"):
            raise answer
    with pytest.raises(ConfigurationError, match="mount://raw: NoCredentialsError"), translated("mount://raw"):
        raise NoCredentialsError
    with pytest.raises(Unavailable, match="mount://raw: ConnectionResetError: gone"), translated("mount://raw"):
        raise ConnectionResetError("gone")
