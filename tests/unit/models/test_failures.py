"""Every error of MLflow and of its HTTP clients has a decision, taken from the libraries' own lists."""

from __future__ import annotations

import re

import httpx
import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos import databricks_pb2

from airflow_ml_provider.core.errors import AccessDenied, ConfigurationError, NotFound, ServiceError, Unavailable
from airflow_ml_provider.models.failures import CODES, HTTPX, REQUESTS, kind_of, translated

pytestmark = pytest.mark.filterwarnings("ignore")


def test_no_class_is_forgotten():
    known = {name for name in httpx.__all__ if isinstance(found := getattr(httpx, name), type) and issubclass(found, Exception)}
    assert known == set(HTTPX)
    known = {
        name
        for name, found in vars(requests.exceptions).items()
        if isinstance(found, type) and issubclass(found, Exception) and found.__module__ == "requests.exceptions"
    }
    assert {name for name in known if not name.endswith("Warning")} == set(REQUESTS)


def test_no_code_that_means_something_is_forgotten():
    codes = set(databricks_pb2.ErrorCode.keys())
    assert set(CODES) <= codes
    telling = re.compile("UNAVAILABLE|TIMEOUT|LIMIT_EXCEEDED|MAINTENANCE|DENIED|UNAUTH|NOT_FOUND|EXHAUSTED|QUOTA|LOCK$")
    assert not {code for code in codes - set(CODES) if telling.search(code)}


def raised(error, beneath):
    """The error as it arrives when another one was being handled."""
    error.__context__ = beneath
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "m"}), Unavailable),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "m"}), Unavailable),
        (RestException({"error_code": "PERMISSION_DENIED", "message": "m"}), AccessDenied),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "m"}), NotFound),
        (RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": "m"}), ServiceError),
        (MlflowException("of the client's own"), ServiceError),
        (MlflowException("API request to endpoint /x failed with error code 502 != 200. Response body: <html>"), Unavailable),
        (raised(MlflowException("wrapped"), requests.exceptions.SSLError("tls")), Unavailable),
        (raised(MlflowException("wrapped"), requests.exceptions.InvalidSchema("x")), ConfigurationError),
        (requests.exceptions.ReadTimeout("late"), Unavailable),
        (httpx.ProxyError("proxy"), Unavailable),
        (httpx.UnsupportedProtocol("x"), ConfigurationError),
    ],
)
def test_each_error_becomes_ours(error, kind):
    assert kind_of(error) is kind
    with pytest.raises(kind, match="MLflow at http://here (does not answer|refuses): "), translated("http://here"):
        raise error


def test_other_errors_stay():
    assert kind_of(ValueError("x")) is None
    with pytest.raises(ValueError, match="x"), translated("http://here"):
        raise ValueError("x")
