"""Runs a function of an installed wheel: ``run_wheel.py SCRIPT|package.module:function ARGS…``."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import distributions
from operator import attrgetter
from typing import Any


def find(name: str) -> Any:
    """The function of a console script, or at ``package.module:function``."""
    if ":" in name:
        module, _, function = name.partition(":")
        return attrgetter(function)(importlib.import_module(module))
    found = [item for distribution in distributions() for item in distribution.entry_points if item.name == name]
    scripts = [item for item in found if item.group == "console_scripts"]
    if not scripts:
        raise SystemExit(
            f"entry_point: got {name!r}: takes package.module:function, or the name of a console script of the wheel"
        )
    return scripts[0].load()


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    # As a console script does: what the function returns is the exit code, and a text an error.
    returned = find(sys.argv[0])()
    if isinstance(returned, (int, str)):
        sys.exit(returned)
