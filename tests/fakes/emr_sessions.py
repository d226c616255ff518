"""Spark Connect sessions for the fake of EMR and EMR Serverless: a door with TLS and tokens before one Spark Connect server."""

from __future__ import annotations

import atexit
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from tests.servers.tls import Certificate

if TYPE_CHECKING:
    from tests.fakes.emr import Cluster, Services

CALLS = ("StartSession", "GetSession", "GetSessionEndpoint", "ListSessions", "TerminateSession")
TOKEN_COUNTS = 2.5
"""Seconds for which a token opens the door."""
TOKEN_TOLD = 301.0
"""Seconds for which it is said to: a client that renews five minutes early does so after one."""
ENDED = ("TERMINATED", "FAILED")


@cache
def trusted() -> Certificate:
    """The certificate of every door of this process: clients read what they trust once only."""
    folder = tempfile.TemporaryDirectory(prefix="tls-")
    atexit.register(folder.cleanup)
    return Certificate(Path(folder.name))


@dataclass(eq=False)
class Session:
    """A session of a cluster."""

    id: str
    cluster: Cluster
    payload: Mapping[str, Any]
    state: str = "STARTING"
    created: float = field(default_factory=time.time)
    tokens: dict[str, float] = field(default_factory=dict)


class Sessions:
    """The calls. :attr:`fails` has the next sessions fail."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.all: dict[str, Session] = {}
        self.door: Door | None = None
        self.fails = 0

    def call(self, service: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Answer one call of either service."""
        from tests.fakes.emr import _GONE, Refused

        cluster = self.services._cluster(given.get("ClusterId") or given["applicationId"])
        for session in self.all.values():
            if session.cluster.state in _GONE:
                session.state = "TERMINATED"
            elif session.state == "STARTING" and time.time() - session.created > 0.05:
                session.state = "IDLE"
        if name == "StartSession":
            return self._shown(self._start(cluster, given), service, whole=False)
        mine = [session for session in self.all.values() if session.cluster is cluster]
        if name == "ListSessions":
            shown = [self._shown(session, service) for session in reversed(mine)]
            return {"Sessions" if service == "emr" else "sessions": shown}
        session = next((item for item in mine if item.id in (given.get("SessionId"), given.get("sessionId"))), None)
        if session is None:
            raise Refused("ResourceNotFoundException", "no such session", 404)
        if name == "TerminateSession":
            session.state = "TERMINATED"
        elif name == "GetSessionEndpoint":
            return self._endpoint(session, service)
        return self._shown(session, service)

    def _start(self, cluster: Cluster, given: Mapping[str, Any]) -> Session:
        from tests.fakes.emr import Refused

        enabled = cluster.payload.get("SessionEnabled") or cluster.payload.get("interactiveConfiguration", {}).get(
            "sessionEnabled"
        )
        if not enabled:
            raise Refused("ValidationException", "sessions are not enabled")
        token = given.get("clientToken") or given.get("ClientRequestToken")
        known = [s for s in self.all.values() if token in (s.payload.get("clientToken"), s.payload.get("ClientRequestToken"))]
        if known:
            return known[0]
        made = Session(uuid.uuid4().hex[:16], cluster, given)
        if self.fails:
            self.fails, made.state = self.fails - 1, "FAILED"
        if cluster.id.startswith("00f"):
            cluster.state = "STARTED"
        self.all[made.id] = made
        return made

    def _endpoint(self, session: Session, service: str) -> dict[str, Any]:
        token = uuid.uuid4().hex
        session.tokens[token] = time.time() + TOKEN_COUNTS
        address, ends = f"https://localhost:{self.door.port if self.door else 443}", time.time() + TOKEN_TOLD
        if service == "emr":
            return {"Endpoint": address, "AuthToken": token, "AuthTokenExpirationTime": ends}
        about = {"applicationId": session.cluster.id, "sessionId": session.id}
        return {**about, "endpoint": address, "authToken": token, "authTokenExpiresAt": ends}

    def _shown(self, session: Session, service: str, *, whole: bool = True) -> dict[str, Any]:
        payload = session.payload
        if service == "emr":
            about = {"Id": session.id, "ClusterId": session.cluster.id, "Name": payload.get("Name"), "Arn": f"arn:{session.id}"}
            return {**about, "State": session.state, "CreatedAt": session.created, "StateChangeReason": "told to fail"}
        about = {"applicationId": session.cluster.id, "sessionId": session.id, "arn": f"arn:{session.id}"}
        more = {"name": payload.get("name"), "state": session.state, "createdAt": session.created, "stateDetails": "told to fail"}
        return {**about, **more} if whole else about

    def admits(self, given: Mapping[str, Any]) -> bool:
        """Whether a call's metadata opens the door: a token that counts still, and on EMR its session's id too."""
        for session in self.all.values():
            if session.tokens.get(str(given.get("x-aws-proxy-auth")), 0.0) > time.time() and session.state not in ENDED:
                return session.cluster.id.startswith("00f") or given.get("authorization") == session.id
        return False


class Door(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Hands calls that :class:`Sessions` admits to a Spark Connect server, to which ``token`` belongs."""

    def __init__(self, sessions: Sessions, shown: Certificate, target: str, token: str) -> None:
        self.sessions, self.token = sessions, token
        self.there = grpc.insecure_channel(target)
        self.server = grpc.server(ThreadPoolExecutor(32), handlers=[self])
        credentials = grpc.ssl_server_credentials([(shown.key.read_bytes(), shown.cert.read_bytes())])
        self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.refused = 0

    def service(self, details: Any) -> Any:
        given = dict(details.invocation_metadata)
        if not self.sessions.admits(given):
            self.refused += 1
            return grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "token"))
        assert not {name for name in given if name.startswith("x-airflow-ml")}, "the near door's own key went on"
        call = self.there.stream_stream(details.method)
        return grpc.stream_stream_rpc_method_handler(lambda messages, context: self._through(call, messages, context))

    def _through(self, call: Any, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        answers = call(messages, metadata=[("authorization", f"Bearer {self.token}")])
        context.add_callback(answers.cancel)
        try:
            yield from answers
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details())


@contextmanager
def door(sessions: Sessions, shown: Certificate, remote: str, token: str) -> Iterator[Door]:
    """One before the Spark Connect server of an address ``sc://host:port/…``, until the end."""
    made = sessions.door = Door(sessions, shown, remote.removeprefix("sc://").partition("/")[0], token)
    made.server.start()
    try:
        yield made
    finally:
        made.server.stop(None).wait()
        made.there.close()
