"""A door on this machine to a cluster's Spark Connect server elsewhere, whose headers last an hour.

A program beside it is an ordinary client of ``localhost``: what lets the service's own door open stays in this process, and is
renewed here while the program runs.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import grpc

from airflow_ml_provider.core.backend import Endpoint
from airflow_ml_provider.core.errors import NotFound, ProviderError, Unavailable

log = logging.getLogger(__name__)
USER = "airflow"
"""Who a program is at the server: with the session's id, its session's key."""
_EARLY = timedelta(minutes=5)
_AT_ONCE = 64
_PATIENCE = 20.0
_LONGEST = 1e6
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_KEY = "x-airflow-ml-key"
_OF_TRANSPORT = (_KEY, "user-agent", "te", "content-type")
# What servers of Spark 3.5 and 4 answer for a call that they lack, and for a session that they do not know.
_NOT_THERE = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND)

_STATUS: dict[type[ProviderError], Any] = {Unavailable: grpc.StatusCode.UNAVAILABLE, NotFound: grpc.StatusCode.NOT_FOUND}
"""For a fault of a token's renewal. Spark's client asks again after UNAVAILABLE, for ten minutes at least."""


class Headers:
    """An endpoint's headers, renewed before they end.

    :param renew: gives the endpoint anew; a fault of it counts only when what is known has ended.
    """

    def __init__(self, endpoint: Endpoint, renew: Callable[[], Endpoint]) -> None:
        self._endpoint, self._renew = endpoint, renew
        self._one = threading.Lock()

    def now(self) -> dict[str, str]:
        """What a call that begins now takes along."""
        with self._one:
            left = self._endpoint.expires_at - datetime.now(tz=UTC)
            if left < _EARLY:
                try:
                    self._endpoint = self._renew()
                except ProviderError as error:
                    if left < timedelta(0):
                        raise
                    log.warning("The token of the Spark Connect session was not renewed, and lasts %d s: %s", left.seconds, error)
            return dict(self._endpoint.headers)


class Door(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves whoever has an address of :meth:`url`, until the end of the block.

    :param renew: as in :class:`Headers`.
    """

    def __init__(self, endpoint: Endpoint, renew: Callable[[], Endpoint]) -> None:
        self._key = secrets.token_urlsafe(32)
        self.headers = Headers(endpoint, renew)
        self._far = grpc.secure_channel(endpoint.target, grpc.ssl_channel_credentials(), options=_OPTIONS)
        self._near = grpc.server(ThreadPoolExecutor(_AT_ONCE, "spark-connect"), handlers=[self], options=_OPTIONS)
        self.port = self._near.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> Door:
        self._near.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._near.stop(grace=None).wait()
        self._far.close()

    def url(self, session: str) -> str:
        """The address for a client, which gets the session of this id. Secret."""
        return f"sc://localhost:{self.port}/;{_KEY}={quote(self._key)};user_id={USER};session_id={session}"

    def end_session(self, session: str) -> None:
        """End what a client has begun in a session and left; the session can be used no more where the server can end it.

        A fault is logged: the server forgets by itself, later, what nobody comes back for.
        """
        from pyspark.sql.connect.proto import InterruptRequest, ReleaseSessionRequest

        kind = InterruptRequest.InterruptType.INTERRUPT_TYPE_ALL
        requests: dict[str, Any] = {
            "Interrupt": InterruptRequest(session_id=session, interrupt_type=kind),
            "ReleaseSession": ReleaseSessionRequest(session_id=session),
        }
        for name, request in requests.items():
            request.user_context.user_id = USER
            call = self._far.unary_unary(f"/spark.connect.SparkConnectService/{name}")
            try:
                call(request.SerializeToString(), metadata=list(self.headers.now().items()), timeout=_PATIENCE)
            except (grpc.RpcError, ProviderError) as error:
                if not isinstance(error, grpc.RpcError) or error.code() not in _NOT_THERE:
                    log.warning("Spark Connect session %s was not ended: %s", session, error)
                    return

    def service(self, handler_call_details: Any) -> Any:
        """Every call, whatever it is: its messages are handed through as they are."""
        given = dict(handler_call_details.invocation_metadata)
        if not secrets.compare_digest(given.get(_KEY, ""), self._key):
            return grpc.unary_unary_rpc_method_handler(_refuse)
        method = handler_call_details.method
        return grpc.stream_stream_rpc_method_handler(lambda messages, context: self._hand_through(method, messages, context))

    def _hand_through(self, method: str, messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
        kept = [(key, value) for key, value in context.invocation_metadata() if key not in _OF_TRANSPORT]
        try:
            ours = list(self.headers.now().items())
        except ProviderError as error:
            context.abort(_STATUS.get(type(error), grpc.StatusCode.UNAUTHENTICATED), str(error))
        left = context.time_remaining()  # without a limit it tells a time that no clock can hold
        limit = left if left is not None and left < _LONGEST else None
        call = self._far.stream_stream(method)(messages, metadata=[*kept, *ours], timeout=limit)
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            with suppress(ValueError):
                context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details())


def _refuse(_: Any, context: Any) -> Any:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "this door is another program's")
