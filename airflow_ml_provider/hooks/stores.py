"""The filesystems of mounts that this process has open.

fsspec keeps every filesystem that it makes, by its arguments. An AWS session is an argument that is never equal to another one, and a new
password makes new arguments: a triggerer would keep one more for each. Here each mount has one at most, and what is replaced is closed.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_AT_MOST = 32
_OPEN: OrderedDict[str, tuple[Hashable, AbstractFileSystem]] = OrderedDict()
_LOCK = threading.Lock()


def shared_store(name: str, arguments: Hashable, make: Callable[[], AbstractFileSystem]) -> AbstractFileSystem:
    """The filesystem of a mount, made anew when its arguments have changed or its connection is lost.

    :param name: of the mount.
    :param arguments: what the filesystem is made of.
    """
    key = (os.getpid(), arguments)  # a filesystem does not survive a fork
    with _LOCK:
        known, filesystem = _OPEN.get(name, (None, None))
        if filesystem is not None and known == key and is_usable(filesystem):
            _OPEN.move_to_end(name)
            return filesystem
    made = make()
    _unbind(made)
    with _LOCK:
        _OPEN[name] = (key, made)
        _OPEN.move_to_end(name)
        while len(_OPEN) > _AT_MOST:
            _OPEN.popitem(last=False)
    return made


def forget_store(name: str | None = None) -> None:
    """Open the mount anew the next time, without a name every mount. Whoever uses its filesystem now may go on."""
    with _LOCK:
        for one in [name] if name is not None else list(_OPEN):
            _OPEN.pop(one, None)


def is_usable(filesystem: AbstractFileSystem) -> bool:
    """False when the connection under an SFTP filesystem is lost, which ``sshfs`` never opens again."""
    is_closed = getattr(getattr(filesystem, "_client", None), "is_closed", None)
    return is_closed is None or not is_closed()


def _unbind(filesystem: AbstractFileSystem) -> None:
    """Let a filesystem of ``adlfs`` be collected: it registers finalizers that refer to the filesystem itself, so that they never run."""
    if type(filesystem).__module__.partition(".")[0] != "adlfs":
        return
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        bound = finalizer.peek()
        if bound is not None and bound[0] is filesystem:
            finalizer.detach()
    clients = [client for client in (filesystem.service_client, filesystem.credential) if hasattr(client, "close")]
    weakref.finalize(filesystem, _close, filesystem.loop, clients)


def _close(loop: asyncio.AbstractEventLoop, clients: list[Any]) -> None:
    """Close the clients in fsspec's event loop. A finalizer may run in any thread, that of an event loop too, which must not wait."""

    async def close() -> None:
        for client in clients:
            await client.close()

    future = asyncio.run_coroutine_threadsafe(close(), loop)
    if asyncio._get_running_loop() is None:
        with suppress(TimeoutError):
            future.result(timeout=1)
