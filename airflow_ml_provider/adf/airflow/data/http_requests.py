"""One way out to HTTP servers: Airflow's HTTP hook, for addresses that an activity gives and for those of connections."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.adf.airflow.data.size_limits import answer_of
from airflow_ml_provider.adf.support.connection_variants import conn_id_of
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError


class Answer:
    """An answer whose body is there; as that of ``requests``, but no longer than the setting allows."""

    def __init__(self, response: Any, content: bytes) -> None:
        self._response, self.content = response, content
        self.status_code, self.url = int(response.status_code), str(response.url)
        self.headers, self.links = response.headers, response.links

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    @property
    def text(self) -> str:
        try:
            return self.content.decode(self._response.encoding or "utf-8", errors="replace")
        except LookupError:  # an encoding that Python does not know
            return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The document; ``ValueError`` for what is none."""
        return json.loads(self.content)


def ask(method: str, url: str, *, headers: Mapping[str, str], body: Any = None, timeout: float, verify: bool = True) -> Answer:
    """One request to an address, and the answer, whatever its status.

    A connection of the type ``http`` whose id is the host's name (``api_example_com``) gives what the hook knows to take from it: a
    login, headers, certificates, a proxy.

    :raises SpecError: it is no address.
    :raises ProviderError: there was no answer.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SpecError(f"url: got {url!r}: takes an address that begins with http:// or https://")
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    rest = url[url.index(parts.netloc) + len(parts.netloc) :]
    return _run(_hook(method, conn_id_of(parts.hostname), origin), rest, headers, body, timeout, verify=verify)


def ask_connection(
    method: str, conn_id: str, path: str, *, headers: Mapping[str, str], body: Any = None, timeout: float
) -> Answer:
    """One request to the server of a connection. Otherwise as :func:`ask`.

    :raises ConfigurationError: there is no such connection.
    """
    return _run(_hook(method, conn_id, None), path, headers, body, timeout, verify=True)


@contextmanager
def stream_of(
    method: str, conn_id: str, path: str, *, headers: Mapping[str, str], body: Any = None, timeout: float
) -> Iterator[Any]:
    """The same for an answer that is too long for the memory: its ``iter_content`` gives the blocks."""
    with _streaming(_hook(method, conn_id, None), path, headers, body, timeout) as response:
        yield response


def password_of(conn_id: str) -> str:
    """A connection's password; empty without one."""
    return str(_connection(conn_id).password or "")


def _connection(conn_id: str) -> Any:
    from airflow.sdk.bases.hook import BaseHook

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        fix = "create it for the linked service of this name"
        raise ConfigurationError(f"connection {conn_id!r} does not exist: {fix}") from None


def _hook(method: str, conn_id: str, origin: str | None) -> Any:
    try:
        from airflow.providers.http.hooks.http import HttpHook
    except ImportError as error:
        raise ConfigurationError(f'HTTP needs Airflow\'s provider ({error}): pip install "airflow-ml-provider[adf]"') from error
    from airflow.sdk import Connection

    class Hook(HttpHook):
        """Goes to ``origin`` whatever its connection says, and without one too."""

        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            if origin is None:
                return _connection(conn_id)
            try:
                found = super().get_connection(conn_id)
            except AirflowNotFoundException:
                found = None
            if found is None or found.conn_type != HttpHook.conn_type:
                return Connection(conn_id=conn_id, conn_type="http", host=origin)
            login, password = found.login, found.password
            return Connection(conn_id=conn_id, conn_type="http", host=origin, login=login, password=password, extra=found.extra)

    return Hook(method=method, http_conn_id=conn_id)


def _run(hook: Any, path: str, headers: Mapping[str, str], body: Any, timeout: float, *, verify: bool) -> Answer:
    with _streaming(hook, path, headers, body, timeout, verify=verify) as response:
        return Answer(response, answer_of(response))


@contextmanager
def _streaming(
    hook: Any, path: str, headers: Mapping[str, str], body: Any, timeout: float, *, verify: bool = True
) -> Iterator[Any]:
    """By the hook's session, and not by its ``run``, which logs the addresses of requests that fail."""
    from requests import RequestException

    session = hook.get_conn(dict(headers), {"timeout": timeout, **({} if verify else {"verify": False})})
    data = body.encode() if isinstance(body, str) else body
    try:
        with session.request(hook.method, hook.url_from_endpoint(path), data=data, timeout=timeout, stream=True) as response:
            yield response
    except RequestException as error:
        raise ProviderError(f"{hook.method} failed: {error}") from error
    finally:
        session.close()
