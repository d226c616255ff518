"""Activities that speak HTTP."""

from __future__ import annotations

import json
from typing import Any

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.reading import pick
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError
from airflow_ml_provider.operators.adf.calls import ActivityFailed, Call
from airflow_ml_provider.operators.adf.places import conn_id_of

_BODIES = ("POST", "PUT", "PATCH")
_LARGEST = 4 * 1024 * 1024
_MINUTE = 60.0


def web(call: Call) -> Any:
    """One request; the output is the answer's JSON object, or its text as ``Response``."""
    return _send(call, str(call.required("url")), dict(call("headers", {})), _login(call))


def azure_function(call: Call) -> Any:
    """A request to the function app of the linked service's connection: its host, and its password as the function's key."""
    service = call.activity.linked_service
    if service is None:
        raise SpecError(f"activity {call.activity.name!r}: linkedServiceName: is required")
    found = _connection(conn_id_of(service.name))
    url = f"{(found.host or '').rstrip('/')}/api/{str(call.required('functionName')).lstrip('/')}"
    key = {"x-functions-key": found.password} if found.password else {}
    return _send(call, url, {**dict(call("headers", {})), **key}, None)


def _send(call: Call, url: str, headers: dict[str, Any], login: tuple[str, str] | None) -> Any:
    import httpx

    method = str(call("method", "GET")).upper()
    body = call("body") if method in _BODIES else None
    content = body if isinstance(body, str) or body is None else json.dumps(body)
    if content is not None and not isinstance(body, str):
        headers = {"Content-Type": "application/json", **headers}
    timeout = seconds_of(call("httpRequestTimeout")) or _MINUTE
    try:
        answer = httpx.request(method, url, headers=headers, content=content, auth=login, timeout=timeout, follow_redirects=True)
    except httpx.InvalidURL as error:
        raise SpecError(f"activity {call.activity.name!r}: url: got {url!r}: {error}") from error
    except httpx.HTTPError as error:
        raise ProviderError(f"activity {call.activity.name!r}: {method} failed: {error}") from error
    if answer.is_error:
        raise ActivityFailed(f"{method} was answered {answer.status_code}: {answer.text[:500]}", str(answer.status_code))
    return _output(call, answer)


def _output(call: Call, answer: Any) -> dict[str, Any]:
    if len(answer.content) > _LARGEST:
        raise ActivityFailed(f"the answer has {len(answer.content)} bytes: takes {_LARGEST} at most", "2001")
    headers = {"ADFWebActivityResponseHeaders": dict(answer.headers)}
    try:
        found = answer.json()
    except ValueError:
        return {"Response": answer.text, **headers}
    return {**found, **headers} if isinstance(found, dict) else {"Response": found, **headers}


def _login(call: Call) -> tuple[str, str] | None:
    """The name and password of basic authentication; other ways to sign in are refused."""
    found = call("authentication")
    if not found:
        return None
    kind = str(pick(found, "type") or "")
    if kind.casefold() != "basic":
        raise ConfigurationError(f"activity {call.activity.name!r}: authentication: got {kind!r}: takes Basic")
    return str(pick(found, "username") or ""), str(pick(found, "password") or "")


def _connection(conn_id: str) -> Any:
    from airflow.sdk.bases.hook import BaseHook

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"connection {conn_id!r} does not exist: create it for the linked service of this name"
        ) from None
