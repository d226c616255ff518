"""What the clients of stores raise, as our errors: one table a library, by names, so that none must be installed.

A class that is not in a table is what its nearest ancestor in it is. What is in none is left as it is.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_ml_provider.core.errors import AccessDenied, ConfigurationError, ProviderError, ServiceError, Unavailable

Kind = type[ProviderError]
_PASSING, _DENIED, _WRONG, _OTHER = Unavailable, AccessDenied, ConfigurationError, ServiceError


def _table(module: str, **names: Kind) -> dict[str, Kind]:
    return {f"{module}.{name}": kind for name, kind in names.items()}


PYTHON = {
    **_table("builtins", ConnectionError=_PASSING, TimeoutError=_PASSING, PermissionError=_DENIED),
    **_table("asyncio.exceptions", TimeoutError=_PASSING, IncompleteReadError=_PASSING),
    **_table("socket", gaierror=_PASSING, herror=_PASSING),
    **_table("ssl", SSLCertVerificationError=_WRONG, SSLError=_PASSING),
    **_table("http.client", HTTPException=_PASSING),
    **_table("s3fs.utils", FileExpired=_PASSING),  # somebody has written the file while it was read
}
"""Python itself, and s3fs, which raises its errors and those of botocore."""
BOTOCORE = _table(
    "botocore.exceptions",
    **dict.fromkeys(
        (
            *("HTTPClientError", "ConnectionError", "IncompleteReadError", "ChecksumError", "FlexibleChecksumError"),
            *("CredentialRetrievalError", "MetadataRetrievalError", "CapacityNotAvailableError", "AwsChunkedWrapperError"),
        ),
        _PASSING,
    ),
    **dict.fromkeys(("UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError", "LoginError"), _DENIED),
    ClientError=_OTHER,  # by its status
    **dict.fromkeys(("BotoCoreError", "UndefinedModelAttributeError"), _WRONG),  # keys, regions, profiles, arguments
)
AIOHTTP = _table(
    "aiohttp.client_exceptions",
    **dict.fromkeys(("ClientConnectionError", "ClientPayloadError", "UploadAbortedError"), _PASSING),
    **dict.fromkeys(("ClientConnectorCertificateError", "ServerFingerprintMismatch"), _WRONG),
    **dict.fromkeys(("InvalidURL", "RedirectClientError", "NonHttpUrlClientError", "TooManyRedirects"), _WRONG),
    ContentTypeError=_OTHER,
    ClientResponseError=_OTHER,  # by its status
    ClientError=_PASSING,
    WSMessageTypeError=_WRONG,
)
AZURE = {
    **_table(
        "azure.core.exceptions",
        **dict.fromkeys(("ServiceRequestError", "ServiceResponseError", "IncompleteReadError"), _PASSING),
        **dict.fromkeys(("StreamConsumedError", "StreamClosedError", "ResponseNotReadError"), _PASSING),
        **dict.fromkeys(("ClientAuthenticationError",), _DENIED),
        HttpResponseError=_OTHER,  # by its status
        AzureError=_OTHER,
        **dict.fromkeys(("SerializationError", "DeserializationError"), _OTHER),
    ),
    **_table("azure.identity", CredentialUnavailableError=_WRONG, AuthenticationRequiredError=_WRONG),
    **_table("azure.identity._exceptions", CredentialUnavailableError=_WRONG, AuthenticationRequiredError=_WRONG),
}
GOOGLE = {
    **_table("gcsfs.retry", HttpError=_OTHER, ChecksumError=_PASSING, NonRetryableError=_OTHER),
    **_table("gcsfs.checkers", ChecksumError=_PASSING),
    **_table(
        "google.auth.exceptions",
        **dict.fromkeys(("TransportError", "TimeoutError", "ResponseError"), _PASSING),
        **dict.fromkeys(("RefreshError", "OAuthError"), _DENIED),
        **dict.fromkeys(("UserAccessTokenError", "DefaultCredentialsError", "MutualTLSChannelError", "ClientCertError"), _WRONG),
        GoogleAuthError=_OTHER,
    ),
    **_table(
        "requests.exceptions",
        **dict.fromkeys(
            ("ConnectionError", "Timeout", "ChunkedEncodingError", "ContentDecodingError", "RetryError", "InvalidJSONError"),
            _PASSING,
        ),
        **dict.fromkeys(
            ("InvalidURL", "MissingSchema", "InvalidSchema", "InvalidHeader", "URLRequired", "TooManyRedirects"), _WRONG
        ),
        **dict.fromkeys(("HTTPError", "StreamConsumedError", "UnrewindableBodyError"), _OTHER),
        RequestException=_PASSING,
    ),
}
ASYNCSSH = {
    **_table(
        "asyncssh.misc",
        **dict.fromkeys(("ConnectionLost", "ServiceNotAvailable", "MACError", "CompressionError", "ProtocolError"), _PASSING),
        **dict.fromkeys(("ChannelOpenError", "ChannelListenError", "DisconnectError"), _PASSING),
        **dict.fromkeys(("HostKeyNotVerifiable", "KeyExchangeFailed", "ProtocolNotSupported", "IllegalUserName"), _WRONG),
        **dict.fromkeys(("PermissionDenied", "PasswordChangeRequired"), _DENIED),
        **dict.fromkeys(("BreakReceived", "SignalReceived", "SoftEOFReceived", "TerminalSizeChanged"), _PASSING),
        Error=_OTHER,
    ),
    **_table(
        "asyncssh.sftp",
        **dict.fromkeys(
            ("SFTPNoConnection", "SFTPConnectionLost", "SFTPBadMessage", "SFTPEOFError", "SFTPInvalidHandle"), _PASSING
        ),
        **dict.fromkeys(
            ("SFTPLockConflict", "SFTPByteRangeLockConflict", "SFTPByteRangeLockRefused", "SFTPDeletePending"), _PASSING
        ),
        **dict.fromkeys(("SFTPPermissionDenied", "SFTPWriteProtect", "SFTPCannotDelete"), _DENIED),
        SFTPError=_OTHER,
    ),
    **_table("asyncssh.packet", PacketDecodeError=_PASSING),
    **_table("asyncssh.process", ProcessError=_OTHER, TimeoutError=_PASSING),
}
TABLES: Mapping[str, Mapping[str, Kind]] = {
    "python": PYTHON,
    "botocore": BOTOCORE,
    "aiohttp": AIOHTTP,
    "azure": AZURE,
    "google": GOOGLE,
    "asyncssh": ASYNCSSH,
}
"""Every table, by its library."""
_ALL = {name: kind for table in TABLES.values() for name, kind in table.items()}

_PASSING_NUMBERS = {
    getattr(errno, name)
    for name in (
        *("EAGAIN", "EBUSY", "EREMOTEIO", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EHOSTUNREACH", "EHOSTDOWN", "EINTR"),
        *("ENETUNREACH", "ENETDOWN", "ENETRESET", "ENOTCONN", "EPIPE", "ESHUTDOWN", "ESTALE", "ETIMEDOUT", "EMFILE", "ENFILE"),
    )
    if hasattr(errno, name)
}
_PASSING_WORDS = re.compile(
    r"Throttl|SlowDown|RequestLimitExceeded|TooManyRequests|RequestTimeout|ServiceUnavailable|InternalError|ServerBusy|OperationAborted"
    # Hadoop's, of which libhdfs gives the text only
    r"|java\.net\.(Connect|SocketTimeout|NoRouteToHost|UnknownHost|Socket)Exception|UnknownHostException|RetriableException|SafeModeException"
    r"|StandbyException|ConnectTimeoutException|EOFException|HDFS connection failed"
)
_DENIED_WORDS = re.compile(r"AccessDenied|AccessControlException|^Forbidden: ")


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise a store's errors as ours, with the place in front. ``FileNotFoundError`` and the like, which answer a question, stay.

    :raises Unavailable: a passing fault.
    :raises AccessDenied: the credentials may not do it.
    :raises ConfigurationError: nothing but a change of the connection mends it.
    """
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:
        kind = kind_of(error)
        if kind is None or kind is ServiceError:
            raise
        raise kind(f"{place}: {type(error).__name__}: {error}") from error


def kind_of(error: BaseException) -> Kind | None:
    """What an error of a store is; None when no table knows."""
    by_status = _by_status(error)
    if by_status is not None:
        return by_status
    named = next((_ALL[name] for cls in type(error).__mro__ if (name := f"{cls.__module__}.{cls.__qualname__}") in _ALL), None)
    if named is not None and named is not ServiceError:
        return named
    if isinstance(error, OSError) and error.errno in _PASSING_NUMBERS:
        return Unavailable
    if _PASSING_WORDS.search(str(error)):
        return Unavailable
    if _DENIED_WORDS.search(str(error)):
        return AccessDenied
    if isinstance(error, OSError) and error.__cause__ is not None:
        return kind_of(error.__cause__) or named
    return named


def _by_status(error: BaseException) -> Kind | None:
    """By the HTTP status that the error of a client carries."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, Mapping) else {}
    candidates: tuple[Any, ...] = (
        metadata.get("HTTPStatusCode"),
        *(getattr(error, name, None) for name in ("status_code", "status", "code")),
    )
    status = next((int(value) for value in candidates if str(value).isdecimal() and 400 <= int(value) < 600), None)
    if status is None:
        return None
    if status in (408, 429) or (status >= 500 and status != 501):
        return Unavailable
    return AccessDenied if status in (401, 403) else None
