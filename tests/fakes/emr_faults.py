"""The faults of :mod:`tests.fakes.faults` between a client and the fake of Amazon's services: a WSGI middleware.

Source of the errors' codes and statuses: the services' API references, "Common Errors", and S3's "Error responses".
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from tests.fakes.faults import NEW_STATE, Fault, Faults

_SECONDS_OF_SLOW = 0.3
_LONGEST_WAIT = 120.0
_HEADER = 12
_PAGE = b"<html><body>Please sign in to the network.</body></html>"
_FOREIGN = {Fault.FOREIGN_ANSWER: "200 OK", Fault.FOREIGN_REFUSAL: "404 Not Found"}
_STATE = re.compile(rb'"(State|state)": "[A-Z_]+"')
_ERRORS: dict[Fault, tuple[str, str, int]] = {
    Fault.THROTTLED: ("ThrottlingException", "SlowDown", 503),
    Fault.BROKEN_BEFORE: ("InternalServerException", "InternalError", 500),
    Fault.BROKEN_AFTER: ("InternalServerException", "InternalError", 500),
    Fault.EXPIRED: ("ExpiredTokenException", "ExpiredToken", 403),
    Fault.DENIED: ("AccessDeniedException", "AccessDenied", 403),
    Fault.LOG_DENIED: ("AccessDeniedException", "AccessDenied", 403),
}
"""The code of the control planes, that of S3, and the status."""
CALLS: dict[str, dict[str, str]] = {
    "emr": {
        "create": "RunJobFlow",
        "describe": "DescribeCluster",
        "terminate": "TerminateJobFlows",
        "owned": "ListClusters",
        "submit": "AddJobFlowSteps",
        "poll": "ListSteps",
        "cancel": "CancelSteps",
        "logs": "GetObject */stdout.gz",
        "connect": "StartSession",
        "claim": "PutObject */claim",
        "note": "PutObject */id",
    },
    "emr-serverless": {
        "create": "CreateApplication",
        "describe": "GetApplication",
        "terminate": "StopApplication",
        "owned": "ListApplications",
        "submit": "StartJobRun",
        "poll": "GetJobRun",
        "cancel": "CancelJobRun",
        "logs": "GetObject */stdout.gz",
        "connect": "StartSession",
        "claim": "PutObject */claim",
        "note": "PutObject */id",
    },
}
"""By backend and method: the service's call at the heart of it, to arm faults for."""


class Faulty:
    """The application with the armed faults.

    :param named: tells a request's call as ``(name, subject)``.
    """

    def __init__(self, app: Any, faults: Faults, named: Callable[[Mapping[str, Any]], tuple[str, str]]) -> None:
        self.app, self.faults, self.named = app, faults, named
        self.expired: set[str] = set()

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        name, subject = self.named(environ)
        armed = self.faults.take(name, subject, log=subject.endswith("stdout.gz"))
        fault = self._expired(environ, armed.fault if armed else None)
        if fault is Fault.RESET:
            _reset(environ["werkzeug.socket"])
        if fault in _ERRORS and fault is not Fault.BROKEN_AFTER:
            return _refuse(environ, start, name, fault)
        if fault in _FOREIGN:
            start(_FOREIGN[fault], [("Content-Type", "text/html"), ("Content-Length", str(len(_PAGE)))])
            return [_PAGE]
        environ["tests.looks"] = armed.looks if armed and fault is Fault.INVISIBLE else 0
        status, headers, body = _answer(self.app, environ)
        if fault is Fault.BROKEN_AFTER:
            return _refuse(environ, start, name, fault)
        return _damage(fault, environ["werkzeug.socket"], start, status, headers, body)

    def _expired(self, environ: Mapping[str, Any], fault: Fault | None) -> Fault | None:
        """The fault, or that the caller's credentials have expired."""
        key = (re.findall(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", "")) or [""])[0]
        if fault is Fault.EXPIRED:
            self.expired.add(key)
        if not self.faults.armed(Fault.EXPIRED):
            self.expired.clear()
        return Fault.EXPIRED if key in self.expired else fault


def name_of_s3_call(environ: Mapping[str, Any]) -> tuple[str, str]:
    """The operation and ``bucket/key`` of a request to S3 with the bucket in its path."""
    method, path, query = environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"]).lstrip("/"), environ["QUERY_STRING"]
    bucket, _, key = path.partition("/")
    if not key:
        names = {"GET": "ListObjectsV2" if "list-type" in query else "GetBucket", "PUT": "CreateBucket"}
        return ("DeleteObjects" if "delete" in query else names.get(method, "S3")), bucket
    if "upload" in query:
        return "UploadPart", path
    return {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}.get(method, "S3"), path


def _answer(app: Any, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """The application's whole answer: its work is done before anything of it is sent."""
    told: list[Any] = []
    parts = app(environ, lambda status, headers, _=None: told.extend((status, list(headers))))
    body = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    return told[0], told[1], body


def _refuse(environ: Mapping[str, Any], start: Any, name: str, fault: Fault) -> list[bytes]:
    planes, s3, status = _ERRORS[fault]
    if "/s3/" in environ.get("HTTP_AUTHORIZATION", ""):
        body = f"<?xml version='1.0'?><Error><Code>{s3}</Code><Message>{fault}</Message></Error>".encode()
        start(f"{status} -", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
    status = status if status == 500 else 400
    body = json.dumps({"__type": planes, "message": f"{fault}: User: u is not authorized to perform it: {name}"}).encode()
    kind = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-errortype", planes)]
    start(f"{status} -", [*kind, ("Content-Length", str(len(body)))])
    return [body]


def _damage(
    fault: Fault | None, connection: socket.socket, start: Any, status: str, headers: list[tuple[str, str]], body: bytes
) -> Any:
    """Give the answer with what happens to it on its way."""
    if fault is Fault.SLOW:
        time.sleep(_SECONDS_OF_SLOW)
    elif fault is Fault.ANSWER_LATE:
        _until_client_left(connection)
    if fault in (Fault.ANSWER_LOST, Fault.ANSWER_LATE):
        _drop(connection)
    if fault is Fault.BODY_CUT:
        start(status, headers)
        return _cut(connection, body)
    changed = _changed(fault, body)
    if changed != body:  # the object itself is so: its checksum would fit
        kept = [(key, value) for key, value in headers if "checksum" not in key.lower() and key.lower() != "content-length"]
        headers = [*kept, ("Content-Length", str(len(changed)))]
    start(status, headers)
    return [changed]


def _changed(fault: Fault | None, body: bytes) -> bytes:
    if fault is Fault.UNKNOWN_STATE:
        return _STATE.sub(rb'"\1": "%s"' % NEW_STATE.encode(), body)
    if fault is Fault.LOG_TRUNCATED:
        return body[: len(body) // 2]
    if fault is Fault.LOG_CORRUPT:
        return body[:_HEADER] + bytes(byte ^ 0xA5 for byte in body[_HEADER:])
    return body


def _cut(connection: socket.socket, body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    _drop(connection)


def _drop(connection: socket.socket) -> None:
    """Close the connection in an orderly way."""
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError


def _reset(connection: socket.socket) -> None:
    """Close the connection so that the client reads ECONNRESET."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())  # its files keep an open one alive
    raise ConnectionAbortedError


def _until_client_left(connection: socket.socket) -> None:
    """Return once the client has closed the connection: it has given up."""
    readable, _, _ = select.select([connection], [], [], _LONGEST_WAIT)
    assert readable, "the client waits for longer than this fake: give it a short read timeout"
