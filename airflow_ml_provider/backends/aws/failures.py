"""What each exception of Amazon's client libraries means. Data: one decision for every class of :mod:`botocore.exceptions`.

A class that is not in the table has its nearest base's decision. A test walks the libraries' modules, so that a new class of a later
version cannot be forgotten.
"""

from __future__ import annotations

from http.client import HTTPException
from typing import NamedTuple

from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from airflow_ml_provider.core.errors import (
    AccessDenied,
    ConfigurationError,
    ProviderError,
    ServiceError,
    SpecError,
    Unavailable,
)


class Meaning(NamedTuple):
    """What to do about an exception.

    :param kind: our error for it.
    :param reached: whether the service may have got the call and done the work.
    :param text: of our error, with ``{}`` for the exception.
    """

    kind: type[ProviderError]
    reached: bool
    text: str


NOT_SENT = Meaning(Unavailable, False, "AWS cannot be reached: {}")
BROKEN_OFF = Meaning(Unavailable, True, "AWS's answer did not arrive whole: {}")
NO_CREDENTIALS_NOW = Meaning(Unavailable, False, "AWS credentials cannot be fetched now: {}")
SIGNED_OUT = Meaning(AccessDenied, False, "AWS does not accept the credentials: {}. Renew those of credentials_conn_id")
SETTING = Meaning(ConfigurationError, False, "credentials_conn_id: {}: set it in the connection of type aws")
STAGING = Meaning(ConfigurationError, False, "staging_uri: {}: set another bucket in the connection of type spark_cluster")
INSTALLATION = Meaning(ConfigurationError, False, "boto3 lacks what is needed here: {}: update boto3 and botocore")
PAYLOAD = Meaning(SpecError, False, "The payload does not fit AWS's model: {}. Correct the field 'native'")
OTHER = Meaning(ServiceError, True, "AWS: {}")

BOTOCORE: dict[str, Meaning] = {
    # The connection is never made.
    **dict.fromkeys(
        (
            "ConnectionError",
            "EndpointConnectionError",
            "ConnectTimeoutError",
            "ProxyConnectionError",
            "CapacityNotAvailableError",
        ),
        NOT_SENT,
    ),
    # It ends before the answer does, or the answer is damaged. A TLS fault may come at any time.
    **dict.fromkeys(
        (
            *("HTTPClientError", "ConnectionClosedError", "ReadTimeoutError", "ResponseStreamingError", "IncompleteReadError"),
            *("SSLError", "ChecksumError", "FlexibleChecksumError", "AwsChunkedWrapperError", "EventStreamError"),
        ),
        BROKEN_OFF,
    ),
    # A source of credentials fails: an instance's metadata, a container's, a process, a token service.
    **dict.fromkeys(("CredentialRetrievalError", "MetadataRetrievalError", "TokenRetrievalError"), NO_CREDENTIALS_NOW),
    # A person must sign in again.
    **dict.fromkeys(
        (
            *("SSOError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "LoginError", "LoginRefreshRequired"),
            *("LoginTokenLoadError", "LoginInsufficientPermissions", "LoginAuthorizationCodeError"),
            "RefreshWithMFAUnsupportedError",
        ),
        SIGNED_OUT,
    ),
    **dict.fromkeys(
        (
            *("NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError", "UnknownCredentialError", "ProfileNotFound"),
            *("UnknownTokenProviderError", "InfiniteLoopConfigError", "ConfigNotFound", "ConfigParseError", "InvalidConfigError"),
            *(
                "NoRegionError",
                "InvalidRegionError",
                "UnknownRegionError",
                "ServiceNotInRegionError",
                "BaseEndpointResolverError",
            ),
            *("EndpointVariantError", "UnknownEndpointError", "UnknownFIPSEndpointError", "InvalidDefaultsMode"),
            *(
                "EndpointProviderError",
                "EndpointResolutionError",
                "UnknownEndpointResolutionBuiltInName",
                "InvalidHostLabelError",
            ),
            *("InvalidEndpointConfigurationError", "InvalidEndpointDiscoveryConfigurationError", "InvalidProxiesConfigError"),
            *("InvalidIMDSEndpointError", "InvalidIMDSEndpointModeError", "InvalidSTSRegionalEndpointsConfigError"),
            *("InvalidRetryConfigurationError", "InvalidRetryModeError", "InvalidMaxRetryAttemptsError"),
            *("InvalidChecksumConfigError", "InvalidS3AddressingStyleError", "InvalidS3UsEast1RegionalEndpointConfigError"),
            *("UnknownSignatureVersionError", "UnsupportedSignatureVersionError"),
        ),
        SETTING,
    ),
    **dict.fromkeys(
        (
            *("InvalidDNSNameError", "UnsupportedOutpostResourceError", "UnsupportedS3ArnError", "UnsupportedS3ControlArnError"),
            *("UnsupportedS3AccesspointConfigurationError", "UnsupportedS3ConfigurationError"),
            "UnsupportedS3ControlConfigurationError",
        ),
        STAGING,
    ),
    **dict.fromkeys(
        (
            *(
                "DataNotFoundError",
                "ApiVersionNotFoundError",
                "UnknownServiceError",
                "UnknownServiceStyle",
                "MissingServiceIdError",
            ),
            *(
                "MissingDependencyException",
                "MD5UnavailableError",
                "UnsupportedServiceProtocolsError",
                "UnknownClientMethodError",
            ),
            *("OperationNotPageableError", "UndefinedModelAttributeError"),
        ),
        INSTALLATION,
    ),
    **dict.fromkeys(
        (
            *("ParamValidationError", "ValidationError", "MissingParametersError", "UnknownParameterError", "UnknownKeyError"),
            *("RangeError", "AliasConflictParameterError"),
        ),
        PAYLOAD,
    ),
    # Of calls that this package does not make, and of faults in its own code.
    **dict.fromkeys(
        (
            *("PaginationError", "InvalidExpressionError", "WaiterError", "WaiterConfigError", "UnseekableStreamError"),
            *("StubResponseError", "StubAssertionError", "UnStubbedResponseError"),
        ),
        OTHER,
    ),
}
"""By the class's name in :mod:`botocore.exceptions`. ``ClientError`` is an answer, and its code decides: :mod:`.errors`."""
BOTO3: dict[str, Meaning] = {
    **dict.fromkeys(("S3UploadFailedError", "S3TransferFailedError", "RetriesExceededError"), BROKEN_OFF),
    **dict.fromkeys(
        ("ResourceLoadException", "NoVersionFound", "UnknownAPIVersionError", "ResourceNotExistsError"), INSTALLATION
    ),
    "InvalidCrtTransferConfigError": SETTING,
    **dict.fromkeys(
        ("DynamoDBOperationNotSupportedError", "DynamoDBNeedsConditionError", "DynamoDBNeedsKeyConditionError"),
        OTHER,
    ),
}
"""By the class's name in :mod:`boto3.exceptions`."""
STALE_CREDENTIALS = "refreshed credentials are still expired"
"""In the text of a bare ``RuntimeError`` that botocore raises for a source of credentials which lags behind."""
FOREIGN = (BotoCoreError, Boto3Error, ResponseParserError, HTTPError, HTTPException, OSError)
"""All that these libraries raise beside ``ClientError``. The last four leak from connections and from bodies that are streamed."""


def meaning(error: BaseException) -> Meaning:
    """The decision for an exception of :data:`FOREIGN`."""
    for base in type(error).__mro__:
        table = {"botocore.exceptions": BOTOCORE, "boto3.exceptions": BOTO3}.get(base.__module__, {})
        if base.__name__ in table:
            return table[base.__name__]
    return OTHER if isinstance(error, (BotoCoreError, Boto3Error)) else BROKEN_OFF
