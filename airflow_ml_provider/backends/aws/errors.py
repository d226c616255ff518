"""AWS's errors as ours, in one place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from airflow_ml_provider.core.errors import (
    AccessDenied,
    CapacityError,
    ConfigurationError,
    NotFound,
    ProviderError,
    ServiceError,
    SpecError,
    Unavailable,
)

_THROTTLED = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|RequestTimeout|ServiceUnavailable|InternalServer|InternalFailure"
    r"|InternalError|ConditionalRequestConflict"
)
_DENIED = re.compile(r"AccessDenied|UnauthorizedOperation|^403$|NotAuthorized")
_WHO = re.compile(r"UnrecognizedClient|InvalidClientTokenId|SignatureDoesNotMatch|ExpiredToken|InvalidAccessKeyId|InvalidToken")
_ABSENT = re.compile(r"ResourceNotFound|NoSuchKey|NoSuchBucket|^404$")
_FULL = re.compile(r"QuotaExceeded|LimitExceeded|InsufficientCapacity|InstanceLimit")
_WRONG = re.compile(r"Validation|InvalidRequest|InvalidParameter|BadRequest|MalformedPolicy|InvalidArgument")


def code_of(error: ClientError) -> str:
    """The service's own word for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated() -> Iterator[None]:
    """AWS's errors as ours, each with the action that met it."""
    try:
        yield
    except ClientError as error:
        raise _of_client(error) from error
    except (NoCredentialsError, PartialCredentialsError, NoRegionError, ProfileNotFound) as error:
        raise ConfigurationError(f"credentials_conn_id: {error}: set it in the connection of type aws") from error
    except (HTTPClientError, ConnectionClosedError) as error:
        raise Unavailable(f"AWS cannot be reached: {error}") from error
    except BotoCoreError as error:
        raise ServiceError(f"AWS: {error}") from error


def _of_client(error: ClientError) -> ProviderError:
    code, told = code_of(error), error.response.get("Error", {}).get("Message", "")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{error.operation_name}: {code}: {told}"
    if _THROTTLED.search(code) or status >= 500 or status == 429:
        return Unavailable(text)
    if _WHO.search(code):
        return AccessDenied(f"{text}. AWS does not accept the credentials: renew those of credentials_conn_id")
    if _DENIED.search(code):
        return AccessDenied(f"{text}. Grant {missing_action(error)} to whoever credentials_conn_id signs in as")
    for pattern, kind in _KINDS:
        if pattern.search(code):
            found: ProviderError = kind(text)
            return found
    return ServiceError(text)


_KINDS: tuple[tuple[Any, type[Any]], ...] = ((_FULL, CapacityError), (_ABSENT, NotFound), (_WRONG, SpecError))
_NAMED = re.compile(r"perform: ([a-z0-9-]+:[A-Za-z]+)")
_S3_ACTIONS = {
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObjects": "s3:DeleteObject",
}
_OF_BOTH = ("StartSession", "ListSessions", "GetSessionEndpoint", "TerminateSession")
_PREFIXES = {"emr": "elasticmapreduce", "emr-serverless": "emr-serverless"}
_RUNS_EMR = ("RunJobFlow", "AddJobFlowSteps", "ListClusters", "ListSteps", "DescribeCluster", "CancelSteps", "TerminateJobFlows")


def missing_action(error: ClientError) -> str:
    """The permission that a refused call needs: as the service names it, or by the call's own name."""
    if named := _NAMED.search(error.response.get("Error", {}).get("Message", "")):
        return named[1]
    return iam_action(error.operation_name)


def iam_action(operation: str, service: str | None = None) -> str:
    """IAM's name for a call.

    :param service: whose call it is, as boto3 names it; without it both are named where two have the call.
    """
    if operation in _OF_BOTH:
        services = [service] if service else list(_PREFIXES)
        return " or ".join(f"{_PREFIXES[name]}:{operation}" for name in services)
    if operation in _RUNS_EMR or operation.endswith(("AppUI", "PresignedURL")):
        return f"elasticmapreduce:{operation}"
    if operation.endswith(("Object", "Objects", "ObjectsV2")):
        return _S3_ACTIONS.get(operation, f"s3:{operation}")
    return f"emr-serverless:{operation}"


def surely_refused(error: ProviderError) -> bool:
    """Whether the service has said no. After a timeout or an error of its own it may still have done what it was asked."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and int(cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)) < 500
