"""One memory service for several processes: a test serves it, and the components of an Airflow use it by the name of its socket.

:func:`install` runs in Airflow's ``airflow_local_settings.py``, which all of its processes import.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.memory import SERVICES, MemoryService

SETTINGS = "from tests.fakes.shared_memory import install\n\ninstall({address!r})\n"
"""The text of ``airflow_local_settings.py``."""
_KEY = b"memory"


class SharedService:
    """A memory service in another process, for the memory backend. Each call is a connection of its own: processes fork."""

    def __init__(self, address: str) -> None:
        self.address = address

    def wire(self, call: str, subject: str, work: Callable[[], Any]) -> Any:
        """Make a call. The faults are at the other end."""
        return work()

    def __getattr__(self, call: str) -> Callable[..., Any]:
        return lambda *args: self._ask(call, args)

    def _ask(self, call: str, args: tuple[Any, ...]) -> Any:
        with Client(self.address, authkey=_KEY) as connection:
            connection.send((call, args))
            try:
                answered, answer = connection.recv()
            except EOFError as error:
                raise ConnectionResetError("no answer") from error
        if not answered:
            raise answer
        return answer


def install(address: str) -> None:
    """Have the memory backend of this name use the service that is served there."""
    SERVICES[address] = SharedService(address)  # type: ignore[assignment]


@contextmanager
def serving(service: MemoryService, folder: Path) -> Iterator[str]:
    """Serve it to other processes until the end; the address."""
    address = str(folder / "memory.sock")
    with Listener(address, "AF_UNIX", backlog=64, authkey=_KEY) as listener:
        threading.Thread(target=_accept, args=(listener, service), daemon=True).start()
        yield address


def _accept(listener: Listener, service: MemoryService) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError:
            if not Path(str(listener.address)).exists():  # closed
                return
        except EOFError:
            continue  # whoever called was killed
        else:
            threading.Thread(target=_answer, args=(connection, service), daemon=True).start()


def _answer(connection: Connection, service: MemoryService) -> None:
    """Answer one call. A caller that was killed is no fault of the service's."""
    with contextlib.suppress(OSError, EOFError), connection:
        call, args = connection.recv()
        subject = str(args[0]) if args else ""
        try:
            answer = (True, service.wire(call, subject, lambda: getattr(service, call)(*args)))
        except Exception as error:  # noqa: BLE001 - the caller raises it
            answer = (False, error)
        connection.send(answer)
