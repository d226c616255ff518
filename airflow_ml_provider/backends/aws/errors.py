"""AWS's errors as ours, in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.client import BaseClient  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from airflow_ml_provider.backends.aws.failures import FOREIGN, INSTALLATION, NO_CREDENTIALS_NOW, STALE_CREDENTIALS, meaning
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

_PASSING = re.compile(
    r"Throttl|TooManyRequests|RequestLimitExceeded|BandwidthLimitExceeded|SlowDown|RequestTimeout|PriorRequestNotComplete"
    r"|ServiceUnavailable|InternalServer|InternalFailure|InternalError|ConditionalRequestConflict|OperationAborted"
    r"|IDPCommunicationError"
)
_DENIED = re.compile(r"AccessDenied|UnauthorizedOperation|^403$|NotAuthorized")
_WHO = re.compile(
    r"UnrecognizedClient|InvalidClientTokenId|SignatureDoesNotMatch|IncompleteSignature|ExpiredToken|TokenRefreshRequired"
    r"|RequestExpired|RequestTimeTooSkewed|InvalidAccessKeyId|InvalidToken|InvalidIdentityToken|AuthFailure|MissingAuthenticationToken"
)
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
    except ProviderError:
        raise
    except ClientError as error:
        raise _of_client(error) from error
    except FOREIGN as error:
        found = meaning(error)
        raise found.kind(found.text.format(error)) from error
    except RuntimeError as error:
        if STALE_CREDENTIALS not in str(error):
            raise
        raise Unavailable(NO_CREDENTIALS_NOW.text.format(error)) from error
    except AttributeError as error:
        if not isinstance(error.obj, BaseClient):
            raise
        raise ConfigurationError(INSTALLATION.text.format(error)) from error


def _of_client(error: ClientError) -> ProviderError:
    code, told = code_of(error), error.response.get("Error", {}).get("Message", "")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{error.operation_name}: {code}: {told}"
    if _PASSING.search(code) or status >= 500 or status == 429:
        return Unavailable(text)
    if _is_foreign(error):
        return Unavailable(f"{error.operation_name}: the answer, with status {status}, is not AWS's: {told[:_LONGEST_PAGE]}")
    if _WHO.search(code):
        return AccessDenied(f"{text}. AWS does not accept the credentials: renew those of credentials_conn_id")
    if _DENIED.search(code):
        return AccessDenied(f"{text}. Grant {missing_action(error)} to whoever credentials_conn_id signs in as")
    for pattern, kind in _KINDS:
        if pattern.search(code):
            found: ProviderError = kind(text)
            return found
    return ServiceError(text)


def _is_foreign(error: ClientError) -> bool:
    """Whether something between gave the answer: AWS's errors have a code in words, for which botocore puts the status in if there is
    none. Answers to HEAD have no body for it. A gateway that forbids a call or asks for a login does so for good.
    """
    code = code_of(error)
    return not error.operation_name.startswith("Head") and (not code or code.isdecimal()) and code not in _FORBIDDEN


_FORBIDDEN = ("401", "403", "407")
_LONGEST_PAGE = 200
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
    if operation.startswith("AssumeRole"):
        return f"sts:{operation}"
    if operation in _OF_BOTH:
        services = [service] if service else list(_PREFIXES)
        return " or ".join(f"{_PREFIXES[name]}:{operation}" for name in services)
    if operation in _RUNS_EMR or operation.endswith(("AppUI", "PresignedURL")):
        return f"elasticmapreduce:{operation}"
    if operation.endswith(("Object", "Objects", "ObjectsV2")):
        return _S3_ACTIONS.get(operation, f"s3:{operation}")
    return f"emr-serverless:{operation}"


def surely_not_done(error: ProviderError) -> bool:
    """Whether the service has not done what it was asked: it said no, or the call never left.

    After a timeout, a broken connection or an error of its own it may have. This counts for a client that repeats no call.
    """
    cause: BaseException | None = error
    while isinstance(cause, ProviderError):
        cause = cause.__cause__
    if isinstance(cause, ClientError):
        status = int(cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
        return status < 500 and not _is_foreign(cause)
    return isinstance(cause, FOREIGN) and not meaning(cause).reached


def member(answer: Mapping[str, Any], *names: str) -> Any:
    """A value in a service's answer that its model requires.

    :raises Unavailable: it is missing. What stands between may answer with a page of its own, which botocore reads as an answer
        without members.
    """
    value: Any = answer
    for name in names:
        if not isinstance(value, Mapping) or name not in value:
            raise Unavailable(f"AWS's answer is incomplete: it lacks {'.'.join(names)}")
        value = value[name]
    return value


def listed(pages: Iterable[Mapping[str, Any]], name: str) -> Iterator[Mapping[str, Any]]:
    """The items of a list in a service's answers, page by page.

    :param name: the member that holds them.
    :raises Unavailable: a page lacks it: an empty list would say that what was asked for does not exist.
    """
    for page in pages:
        yield from member(page, name)
