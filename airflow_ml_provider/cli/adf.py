"""``airflow-ml adf``: what of a Data Factory or Synapse export runs here, and how it hangs together."""

from __future__ import annotations

import argparse
import json
from typing import Any

from airflow_ml_provider.adf import report
from airflow_ml_provider.adf.errors import DocumentError
from airflow_ml_provider.adf.export.loader import load
from airflow_ml_provider.adf.support.tables import PAGES, page


def add_commands(groups: Any) -> None:
    """Enter the commands of this group."""
    group = groups.add_parser("adf", help="Data Factory and Synapse exports")
    commands = group.add_subparsers(required=True, metavar="COMMAND")
    reporting = commands.add_parser("report", help="a verdict for every pipeline, with reasons")
    reporting.add_argument("path", help="a Git-mode folder, a pipeline's file or an ARM template")
    reporting.add_argument("--json", action="store_true", help="print JSON")
    reporting.set_defaults(run=_report)
    connecting = commands.add_parser("connections", help="the Airflow connections to create, with their types, and the secrets")
    connecting.add_argument("path", help="a Git-mode folder, a pipeline's file or an ARM template")
    connecting.add_argument("--json", action="store_true", help="print JSON")
    connecting.set_defaults(run=_connections)
    tables = commands.add_parser("tables", help="what becomes of each property, and what is known to differ, as Markdown")
    tables.add_argument("page", choices=sorted(PAGES), help="the page")
    tables.set_defaults(run=lambda given: print(page(given.page), end=""))
    rendering = commands.add_parser("render", help="a pipeline's graph as text")
    rendering.add_argument("path", help="a Git-mode folder, a pipeline's file or an ARM template")
    rendering.add_argument("pipeline", help="its name")
    rendering.set_defaults(run=_render)


def _report(given: argparse.Namespace) -> None:
    factory = load(given.path)
    print(json.dumps(report.as_json(factory), indent=2) if given.json else report.as_text(factory))


def _connections(given: argparse.Namespace) -> None:
    factory = load(given.path)
    print(json.dumps(report.connections_as_json(factory), indent=2) if given.json else report.connections_as_text(factory))


def _render(given: argparse.Namespace) -> None:
    factory = load(given.path)
    pipeline = factory.pipeline(given.pipeline)
    if pipeline is None:
        names = ", ".join(sorted({one.name for one in factory.pipelines})[:30]) or "none"
        raise DocumentError(f"{given.path}: got the pipeline {given.pipeline!r}: takes one of {names}")
    print(report.render(pipeline))
