"""MLflow's errors, and those of the HTTP clients beneath it, as ours: one table a library.

A class stands for its subclasses too; a test compares the tables with the libraries' own lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airflow_ml_provider.core.errors import (
    AccessDenied,
    CapacityError,
    ConfigurationError,
    NotFound,
    ProviderError,
    ServiceError,
    Unavailable,
)

Kinds = Mapping[str, type[ProviderError]]

HTTPX: Kinds = {
    **dict.fromkeys(
        ("HTTPError", "RequestError", "TransportError", "TimeoutException", "NetworkError", "ProtocolError"), Unavailable
    ),
    **dict.fromkeys(("ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"), Unavailable),
    **dict.fromkeys(("ConnectError", "ReadError", "WriteError", "CloseError"), Unavailable),
    **dict.fromkeys(("ProxyError", "RemoteProtocolError", "DecodingError"), Unavailable),
    **dict.fromkeys(("LocalProtocolError", "UnsupportedProtocol", "InvalidURL"), ConfigurationError),
    **dict.fromkeys(("TooManyRedirects", "HTTPStatusError", "CookieConflict"), ServiceError),
    **dict.fromkeys(("StreamError", "StreamClosed", "StreamConsumed", "RequestNotRead", "ResponseNotRead"), ServiceError),
}
"""https://www.python-httpx.org/exceptions/"""
REQUESTS: Kinds = {
    **dict.fromkeys(("ConnectionError", "ProxyError", "SSLError"), Unavailable),
    **dict.fromkeys(("Timeout", "ConnectTimeout", "ReadTimeout", "RetryError"), Unavailable),
    **dict.fromkeys(("ChunkedEncodingError", "ContentDecodingError"), Unavailable),
    **dict.fromkeys(("URLRequired", "MissingSchema", "InvalidSchema", "InvalidURL", "InvalidProxyURL", "InvalidHeader"), ConfigurationError),
    **dict.fromkeys(("RequestException", "HTTPError", "TooManyRedirects", "InvalidJSONError", "JSONDecodeError"), ServiceError),
    **dict.fromkeys(("StreamConsumedError", "UnrewindableBodyError"), ServiceError),
}  # fmt: skip
"""https://requests.readthedocs.io/en/latest/api/#exceptions"""
CODES: Kinds = {
    **dict.fromkeys(("TEMPORARILY_UNAVAILABLE", "SERVICE_UNDER_MAINTENANCE", "WORKSPACE_TEMPORARILY_UNAVAILABLE"), Unavailable),
    **dict.fromkeys(
        ("DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "REQUEST_LIMIT_EXCEEDED", "COULD_NOT_ACQUIRE_LOCK"), Unavailable
    ),
    **dict.fromkeys(("IO_ERROR", "UNPARSEABLE_HTTP_ERROR", "DEPLOYMENT_TIMEOUT", "PROJECTS_OPERATION_TIMEOUT"), Unavailable),
    **dict.fromkeys(("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_NOT_PROPAGATED"), AccessDenied),
    **dict.fromkeys(("NOT_FOUND", "RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND"), NotFound),
    **dict.fromkeys(("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "RESOURCE_LIMIT_EXCEEDED"), CapacityError),
}
"""MLflow's error codes (``mlflow.protos.databricks_pb2.ErrorCode``); every other one is a :class:`ServiceError`."""
_STATUS = re.compile(r"failed with error code (\d{3}) ")
PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise errors of MLflow and of its HTTP clients as ours.

    :param where: the server's address, for the message.
    """
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        kind = kind_of(error)
        if kind is None:
            raise
        problem = "does not answer" if kind is Unavailable else "refuses"
        raise kind(f"MLflow at {where} {problem}: {error}") from error


def kind_of(error: BaseException) -> type[ProviderError] | None:
    """Which of our errors another error is; None when it comes from none of these libraries."""
    module = type(error).__module__.partition(".")[0]
    if module == "mlflow":
        return _of_mlflow(error)
    tables: Mapping[str, Kinds] = {"httpx": HTTPX, "requests": REQUESTS}
    return next((tables[module][base.__name__] for base in type(error).__mro__ if base.__name__ in tables.get(module, {})), None)


def _of_mlflow(error: BaseException) -> type[ProviderError]:
    """MLflow wraps errors of its HTTP client, not always with a cause; an answer of a proxy has its status in the text alone."""
    beneath = error.__cause__ or error.__context__
    if beneath is not None and type(beneath).__module__.startswith("requests") and (kind := kind_of(beneath)):
        return kind
    if (status := _STATUS.search(str(error))) and int(status[1]) in PASSING_STATUS:
        return Unavailable
    code = str(getattr(error, "error_code", ""))
    if code == "INTERNAL_ERROR":  # the default of every error that the client makes: only the server's is a passing one
        return Unavailable if type(error).__name__ == "RestException" else ServiceError
    return CODES.get(code, ServiceError)
