"""A process that holds PySpark's imports and forks one process a job, which spares each job the time to import them.

It reads requests from the socket that its argument names, one JSON object a line, and answers on it::

    {"id": "j-1", "program": "/x.py", "args": [], "env": {}, "cwd": "/", "log": "/x.log"}
    {"id": "warm-up", "task": "warm_up", "env": {}, "cwd": "/", "log": "/y.log"}

    {"ready": true}
    {"id": "j-1", "pid": 17}
    {"id": "j-1", "exit": 0}
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from airflow_ml_provider.backends.local.processes import die_with_parent, reap
from airflow_ml_provider.runners import run_python

_NEEDED = ("pandas", "pyarrow", "pyspark.sql.connect.session", "pyspark.sql.connect.functions", "pyspark.sql.connect.client.core")
# In steps, while no job runs: one that comes between two is forked at once, and none shares the machine with them.
_USUAL = (
    "pyspark.ml",
    "pyspark.ml.connect",
    "sqlalchemy",
    "fastapi",
    "databricks.sdk",
    "mlflow",
    "mlflow.spark",
    "matplotlib.pyplot",
)


def warm_up() -> None:
    """A small query that has the server load what every query needs."""
    from pyspark.sql import SparkSession, functions

    spark = SparkSession.builder.getOrCreate()
    spark.range(1000).groupBy((functions.col("id") % 7).alias("k")).agg(functions.sum("id")).orderBy("k").collect()


def interrupt() -> None:
    """Stop what a program left running in its session, and end the session."""
    from pyspark.sql import SparkSession

    SparkSession.builder.getOrCreate().interruptAll()


TASKS: dict[str, Callable[[], None]] = {"warm_up": warm_up, "interrupt": interrupt}


class WarmParent:
    """The loop: forks for each request, reports each end, imports more when there is nothing else to do."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.jobs: dict[int, str] = {}
        self.buffer = b""
        self.to_import: list[str] = []

    def serve(self) -> None:
        """Serve until the other end is closed."""
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for name in _NEEDED:
            _import(name)
        self._answer(ready=True)
        with selectors.DefaultSelector() as selector:
            selector.register(self.channel, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                idle = bool(self.to_import) and not self.jobs
                ready = {key.fileobj for key, _ in selector.select(0 if idle else None)}
                if woken in ready:
                    woken.recv(4096)
                    self._report_ends()
                if self.channel in ready and not self._take_requests():
                    return
                if idle and not ready:
                    _import(self.to_import.pop(0))

    def _take_requests(self) -> bool:
        data = self.channel.recv(1 << 16)
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            self._fork(json.loads(line))
        return bool(data)

    def _fork(self, request: dict[str, Any]) -> None:
        if "preload" in request:
            self.to_import = list(_USUAL)
            return
        pid = os.fork()
        if pid == 0:
            _become(request)
        self.jobs[pid] = request["id"]
        self._answer(id=request["id"], pid=pid)

    def _report_ends(self) -> None:
        for pid, code in reap().items():
            if job := self.jobs.pop(pid, None):
                self._answer(id=job, exit=code)

    def _answer(self, **message: Any) -> None:
        self.channel.sendall(json.dumps(message).encode() + b"\n")


def _become(request: dict[str, Any]) -> None:
    """Turn this forked process into the job. Does not return."""
    code = 1
    try:
        die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _redirect(request["log"])
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        _reseed()
        code = _run_task(TASKS[request["task"]]) if "task" in request else run_python.run(request["program"], request["args"])
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's loop
        traceback.print_exc()
    finally:
        _leave(code)


def _leave(code: int) -> None:
    """End this process as an interpreter ends, without a return into the parent's loop."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)


def _reseed() -> None:
    """NumPy's global generator is the one that a fork would leave the same in every job."""
    import numpy as np

    np.random.seed()


def _run_task(task: Callable[[], None]) -> int:
    from pyspark.sql import SparkSession

    task()
    SparkSession.builder.getOrCreate().stop()
    return 0


def _redirect(log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _import(name: str) -> None:
    """Import a module, if it is installed, and keep the collector off what every fork shares."""
    if find_spec(name.partition(".")[0]):
        importlib.import_module(name)
        gc.freeze()


if __name__ == "__main__":
    WarmParent(socket.socket(fileno=int(sys.argv[1]))).serve()
