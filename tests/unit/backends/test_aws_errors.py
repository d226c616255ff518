"""Every exception of Amazon's client libraries has a decision: what it becomes, and whether the work may have been done.

Expectations come from the libraries' own modules, which are walked, so that a class of a later version fails a test here.
"""

from __future__ import annotations

import inspect
import ssl
import warnings
from http.client import IncompleteRead
from types import ModuleType
from typing import Any

import boto3.exceptions
import botocore.exceptions
import pytest
import urllib3.exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from airflow_ml_provider.backends.aws.errors import iam_action, member, surely_not_done, translated
from airflow_ml_provider.backends.aws.failures import BOTO3, BOTOCORE, FOREIGN
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
from tests.fakes.emr import client

ROOTS = {"BotoCoreError", "ClientError", "Boto3Error"}


def classes(module: ModuleType) -> list[type[Exception]]:
    """Of a module's exceptions those that are its own, but for warnings."""
    with warnings.catch_warnings(action="ignore"):
        members = vars(module).values()
    found = {
        kind for kind in members if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == module.__name__
    }
    return sorted((kind for kind in found if not issubclass(kind, Warning)), key=lambda kind: kind.__name__)


def made(kind: type[Exception]) -> Exception:
    """One of the class, whatever its constructor takes."""
    body = {"__init__": lambda _: None, "__str__": lambda _: "text", "response": {}, "operation_name": "RunJobFlow"}
    found: Exception = type(kind.__name__, (kind,), body)()
    return found


def raised(error: Exception) -> ProviderError:
    with pytest.raises(ProviderError) as caught, translated():
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("module", "table"), [(botocore.exceptions, BOTOCORE), (boto3.exceptions, BOTO3)], ids=["botocore", "boto3"]
)
def test_every_class_of_the_library_has_a_decision_of_its_own(module: ModuleType, table: dict[str, Any]) -> None:
    names = {kind.__name__ for kind in classes(module)} - ROOTS
    assert names
    assert names - {*table} == set(), "decide what these mean, in failures.py"


@pytest.mark.parametrize(
    "kind",
    [kind for module in (botocore.exceptions, boto3.exceptions, urllib3.exceptions) for kind in classes(module)],
    ids=lambda kind: f"{kind.__module__.partition('.')[0]}.{kind.__name__}",
)
def test_no_class_comes_out_as_it_is(kind: type[Exception]) -> None:
    if not issubclass(kind, (*FOREIGN, ClientError)):
        assert kind.__name__ in {
            "MessageDefect",
            "UndefinedModelAttributeError",
            "MissingServiceIdError",
            "ProxySchemeUnsupported",
        }
        return
    assert raised(made(kind))


@pytest.mark.parametrize(
    ("error", "expected", "not_done"),
    [
        ("EndpointConnectionError", Unavailable, True),
        ("ConnectTimeoutError", Unavailable, True),
        ("ProxyConnectionError", Unavailable, True),
        ("SSLError", Unavailable, False),
        ("ReadTimeoutError", Unavailable, False),
        ("ConnectionClosedError", Unavailable, False),
        ("ResponseStreamingError", Unavailable, False),
        ("IncompleteReadError", Unavailable, False),
        ("MetadataRetrievalError", Unavailable, True),
        ("CredentialRetrievalError", Unavailable, True),
        ("TokenRetrievalError", Unavailable, True),
        ("UnauthorizedSSOTokenError", AccessDenied, True),
        ("SSOTokenLoadError", AccessDenied, True),
        ("NoCredentialsError", ConfigurationError, True),
        ("NoRegionError", ConfigurationError, True),
        ("ParamValidationError", SpecError, True),
    ],
)
def test_what_botocores_become(error: str, expected: type[ProviderError], not_done: bool) -> None:
    found = raised(made(getattr(botocore.exceptions, error)))
    assert (type(found), surely_not_done(found)) == (expected, not_done)


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLError("EOF occurred in violation of protocol"),
        ConnectionResetError(),
        TimeoutError(),
        IncompleteRead(b""),
        urllib3.exceptions.ReadTimeoutError(None, "u", "m"),  # type: ignore[arg-type]
        urllib3.exceptions.ProtocolError(),
        urllib3.exceptions.SSLError(),
        ResponseParserError("not well-formed"),
        boto3.exceptions.S3UploadFailedError(),
        RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_leaks_from_below_is_a_passing_fault(error: Exception) -> None:
    assert type(raised(error)) is Unavailable


def test_other_errors_are_not_hidden() -> None:
    for error in (RuntimeError("ours"), KeyError("x"), AttributeError("x")):
        with pytest.raises(type(error)), translated():
            raise error


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://no-such-host.invalid"], ids=["refused", "dns"])
def test_a_service_that_cannot_be_reached_is_a_passing_fault_of_work_that_was_not_done(endpoint: str) -> None:
    emr = client(endpoint, "emr", connect_timeout=5, retries={"total_max_attempts": 1})
    with pytest.raises(Unavailable) as caught, translated():
        emr.describe_cluster(ClusterId="j-1")
    assert surely_not_done(caught.value)


def test_a_client_that_lacks_a_call_is_an_old_one() -> None:
    with pytest.raises(ConfigurationError, match="update boto3"), translated():
        client("http://127.0.0.1:1", "emr").start_a_call_of_tomorrow()


@pytest.mark.parametrize(
    ("code", "status", "expected", "not_done"),
    [
        ("ThrottlingException", 400, Unavailable, True),
        ("SlowDown", 503, Unavailable, False),
        ("InternalServerException", 500, Unavailable, False),
        ("Whatever", 502, Unavailable, False),
        ("OperationAborted", 409, Unavailable, True),
        ("ExpiredTokenException", 400, AccessDenied, True),
        ("AccessDeniedException", 400, AccessDenied, True),
        ("403", 403, AccessDenied, True),
        ("404", 404, Unavailable, False),
        ("400", 400, Unavailable, False),
        ("ResourceNotFoundException", 404, NotFound, True),
        ("ServiceQuotaExceededException", 402, CapacityError, True),
        ("ValidationException", 400, SpecError, True),
        ("SomethingNew", 418, ServiceError, True),
    ],
)
def test_what_answers_become(code: str, status: int, expected: type[ProviderError], not_done: bool) -> None:
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    found = raised(ClientError(answer, "RunJobFlow"))
    assert (type(found), surely_not_done(found)) == (expected, not_done)


def test_a_role_that_may_not_be_assumed_is_named_so() -> None:
    assert iam_action("AssumeRoleWithWebIdentity") == "sts:AssumeRoleWithWebIdentity"


def test_an_answer_without_what_its_model_requires_is_a_passing_fault() -> None:
    assert member({"Cluster": {"Status": {"State": "WAITING"}}}, "Cluster", "Status", "State") == "WAITING"
    for answer in ({}, {"Cluster": {}}, {"Cluster": None}):
        with pytest.raises(Unavailable, match=r"it lacks Cluster\.Status"):
            member(answer, "Cluster", "Status")
