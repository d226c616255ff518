"""The command ``airflow-ml``: a module for each group of commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_ml_provider.cli import adf, notebook
from airflow_ml_provider.core.errors import ProviderError

_GROUPS = (adf, notebook)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 when it could not."""
    parser = argparse.ArgumentParser(prog="airflow-ml", description="Tools of airflow-ml-provider")
    groups = parser.add_subparsers(title="commands", required=True, metavar="GROUP")
    for group in _GROUPS:
        group.add_commands(groups)
    given = parser.parse_args(arguments)
    try:
        return int(given.run(given) or 0)
    except ProviderError as error:
        print(f"airflow-ml: {error}", file=sys.stderr)
        return 1
