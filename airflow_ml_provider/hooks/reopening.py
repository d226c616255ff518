"""A backend that outlives its credentials."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from airflow_ml_provider.core.backend import Backend
from airflow_ml_provider.core.errors import AccessDenied

log = logging.getLogger(__name__)
_REST = 60.0


class Reopening:
    """A backend that is opened again when the service denies a call: a key was rotated, or a session has expired.

    The call is then made once more. It has the methods and the capabilities of the backend. After a denial that opening again did not
    mend, the next minute's denials of the same method are final at once: the permission itself is missing. Each method counts for
    itself, because a log that is denied for good says nothing of the key that looks at the job.

    :param open_again: reads the connection and opens the backend. Makes no call to the service.
    """

    def __init__(self, backend: Backend, open_again: Callable[[], Backend]) -> None:
        self._backend = backend
        self._open_again = open_again
        # Reentrant: ``on_kill`` runs in a signal handler, perhaps while the same thread holds it.
        self._lock = threading.RLock()
        self._final_until: dict[str, float] = {}
        # As attributes of the instance, because isinstance() with a protocol sees nothing that __getattr__ makes up.
        for name, _ in inspect.getmembers(type(self._backend), inspect.isfunction):
            if not name.startswith("_"):
                setattr(self, name, partial(self._call, name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._backend, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        backend = self._backend
        try:
            return _called(backend, name, *args, **kwargs)
        except AccessDenied as error:
            if time.monotonic() < self._final_until.get(name, 0.0):
                raise
            log.info("Opening the service again with the connection's present credentials: %s", error)
        try:
            return _called(self._opened_after(backend), name, *args, **kwargs)
        except AccessDenied:
            self._final_until[name] = time.monotonic() + _REST
            raise

    def _opened_after(self, denied: Backend) -> Backend:
        """The backend that follows the denied one; threads that were denied together share it."""
        with self._lock:
            if self._backend is denied:
                self._backend = self._open_again()
            return self._backend


def _called(backend: Backend, name: str, *args: Any, **kwargs: Any) -> Any:
    """What a method of the backend answers. An iterator is read to its end: its calls are made while it is read."""
    answer = getattr(backend, name)(*args, **kwargs)
    return iter(list(answer)) if isinstance(answer, Iterator) else answer
