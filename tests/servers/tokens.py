"""A sign-in service that hands out tokens that last for seconds, and counts them."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.process import LOOPBACK

Answer = Callable[[int, dict[str, str]], bytes]


@dataclass
class TokenServer:
    """Where it is and what it was asked, as the fields of each form or query in turn."""

    url: str
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def token_server(answer: Answer) -> Iterator[TokenServer]:
    """Run one on loopback.

    :param answer: the body for the request of a number, from 1, and what was asked.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(urllib.parse.urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, text: str) -> None:
            with lock:
                found.asked.append(dict(urllib.parse.parse_qsl(text)))
                body = answer(len(found.asked), found.asked[-1])
            self.send_response(200)
            self.send_header("Content-Type", "text/xml" if body.startswith(b"<") else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    lock = threading.Lock()
    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        found = TokenServer(f"http://{LOOPBACK}:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def bearer(seconds: int) -> Answer:
    """OAuth's answer: a token of its own each time, which lasts so many seconds."""
    return lambda number, _: json.dumps(
        {"access_token": f"token-{number}", "token_type": "Bearer", "expires_in": seconds}
    ).encode()
