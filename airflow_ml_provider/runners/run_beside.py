"""Runs one Python program as :mod:`run_python` does, in a process that ends with the one that started it."""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from pathlib import Path

PARENT_VARIABLE = "AIRFLOW_ML_PARENT"
"""The process id of whoever starts it."""
_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; at once when it has died already. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the task that started this program has ended")


if __name__ == "__main__":
    end_with_parent(int(os.environ.pop(PARENT_VARIABLE)))
    runpy.run_path(str(Path(__file__).with_name("run_python.py")), run_name="__main__")
