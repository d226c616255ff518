"""WebActivity: a request, and the answers of a service that is at work for longer."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from airflow_ml_provider.adf.airflow.activities.call import ActivityFailed, Call
from airflow_ml_provider.adf.airflow.data.http_requests import ask
from airflow_ml_provider.adf.durations import seconds_of
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import HALF_A_DAY
from airflow_ml_provider.core.errors import ConfigurationError, SpecError

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
_BODIES = ("POST", "PUT", "PATCH", "DELETE")
_LARGEST = 4 * 1024 * 1024
_MINUTE = 60.0
_ACCEPTED = 202
_IDENTITIES = {"msi": "", "systemassignedmanagedidentity": "", "userassignedmanagedidentity": "credential"}


def web(call: Call) -> Any:
    """One request; the output is the answer's JSON object, or its text as ``Response``.

    An answer 202 with a location is asked again there until it is another one, unless ``turnOffAsync`` says not to.
    """
    deadline = call.once("deadline", lambda: time.time() + (seconds_of(call.activity.policy.timeout) or HALF_A_DAY))
    looked = call.once("looked", lambda: 0)
    answer = _look(call) if looked else send(call, call("body"))
    url = str(call.once("url", lambda: str(call.required("url"))))
    while _goes_on(call, answer) and time.time() < deadline:
        location = urljoin(url, answer.headers["Location"])
        if _origin(location) != _origin(url):
            call.note("signs in", False)  # another server is not told what signs in to this one
        url, looked = location, looked + 1
        call.note("url", url)
        call.note("looked", looked)
        call.pause(time.time() + _pause(answer, looked))
        answer = _look(call)
    return output_of(str(call("method", "GET")).upper(), answer)


def _goes_on(call: Call, answer: Any) -> bool:
    """Whether the answer says that it is still at work, and where to ask again."""
    return answer.status_code == _ACCEPTED and bool(answer.headers.get("Location")) and not call("turnOffAsync", False)


def _look(call: Call) -> Any:
    """The answer of the place where the last answer has said to ask again."""
    login = _login(call) if call.once("signs in", lambda: True) else {}
    return ask("GET", str(call.once("url", str)), headers=login, timeout=timeout_of(call), verify=_verify(call))


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def send(call: Call, body: Any) -> Any:
    """The activity's request with a body, and its answer."""
    content, headers = content_of(call, body)
    timeout, verify = timeout_of(call), _verify(call)
    return ask(
        method_of(call),
        str(call.required("url")),
        headers={**headers, **_login(call)},
        body=content,
        timeout=timeout,
        verify=verify,
    )


def content_of(call: Call, body: Any) -> tuple[Any, dict[str, str]]:
    """The body as it is sent, and the headers."""
    headers = {str(name): str(value) for name, value in call("headers", {}).items()}
    if method_of(call) not in _BODIES or body is None:
        return None, headers
    if isinstance(body, str):
        return body, headers
    known = any(name.casefold() == "content-type" for name in headers)
    return json.dumps(body), headers if known else {"Content-Type": "application/json", **headers}


def method_of(call: Call) -> str:
    found = str(call("method", "POST" if call.activity.type.casefold() == "webhook" else "GET")).upper()
    if found not in METHODS:
        raise SpecError(f"activity {call.activity.name!r}: method: got {found!r}: takes {', '.join(METHODS)}")
    return found


def timeout_of(call: Call) -> float:
    return seconds_of(call("httpRequestTimeout")) or _MINUTE


def _verify(call: Call) -> bool:
    return not call("disableCertValidation", False)


def _pause(answer: Any, looked: int) -> float:
    """Seconds until the next look: as the answer says, else ever more, so that what takes long holds no worker."""
    told = str(answer.headers.get("Retry-After") or "")
    return min(float(told), _MINUTE) if told.isdecimal() else min(2.0 * looked, _MINUTE)


def output_of(method: str, answer: Any) -> dict[str, Any]:
    if not answer.ok:
        raise ActivityFailed(f"{method} was answered {answer.status_code}: {answer.text[:500]}", str(answer.status_code))
    if len(answer.content) > _LARGEST:
        raise ActivityFailed(f"the answer has {len(answer.content)} bytes: takes {_LARGEST} at most", "2001")
    headers = {"ADFWebActivityResponseHeaders": dict(answer.headers)}
    try:
        found = answer.json()
    except ValueError:
        return {"Response": answer.text, **headers}
    return {**found, **headers} if isinstance(found, dict) else {"Response": found, **headers}


def _login(call: Call) -> dict[str, str]:
    """The header that signs in: by a name and a password, or by a token of Microsoft's sign-in."""
    found = call("authentication")
    if not found:
        return {}
    kind = str(pick(found, "type") or "")
    if kind.casefold() == "basic":
        pair = f"{pick(found, 'username') or ''}:{pick(found, 'password') or ''}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    if kind.casefold() in _IDENTITIES or kind.casefold() == "serviceprincipal":
        return {"Authorization": f"Bearer {_token(call, found, kind.casefold())}"}
    takes = "takes Basic, MSI, UserAssignedManagedIdentity or ServicePrincipal"
    raise ConfigurationError(f"activity {call.activity.name!r}: authentication: got {kind!r}: {takes}")


def _token(call: Call, found: Any, kind: str) -> str:
    """A token for a resource: as the worker itself, or as the principal that the activity names."""
    try:
        from azure.identity import ClientSecretCredential, DefaultAzureCredential
    except ImportError as error:
        raise ConfigurationError(
            f'signing in needs azure-identity ({error}): pip install "airflow-ml-provider[azure]"'
        ) from error
    from azure.core.exceptions import ClientAuthenticationError

    resource = str(pick(found, "resource") or "")
    if not resource:
        raise SpecError(f"activity {call.activity.name!r}: authentication.resource: is required")
    if kind == "serviceprincipal":
        tenant, principal, key = (str(pick(found, name) or "") for name in ("userTenant", "username", "password"))
        credential: Any = ClientSecretCredential(tenant, principal, key)
    else:
        credential = DefaultAzureCredential()
    try:
        return str(credential.get_token(f"{resource.rstrip('/')}/.default").token)
    except ClientAuthenticationError as error:
        raise ConfigurationError(f"activity {call.activity.name!r}: authentication: {kind}: {error.message}") from error
    finally:
        credential.close()
