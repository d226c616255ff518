"""``airflow-ml notebook``: what ran, newest first; what it looked like; how two runs differ; its text as it was."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.models.notebooks import Revision, executed, revisions, sources

if TYPE_CHECKING:
    from airflow_ml_provider.hooks.mlflow import MLflowHook

_SHOWN_METRICS = 4


def add_commands(groups: Any) -> None:
    """Enter the commands of this group."""
    parser = groups.add_parser("notebook", help="the runs of a notebook: what, when, how it looked, how two differ")
    parser.add_argument("--conn-id", default="mlflow_default", help="the mlflow connection (default: %(default)s)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    log = commands.add_parser("log", help="each revision that ran, newest first")
    log.add_argument("path", help="the notebook's path or the end of it")
    log.add_argument("--experiment", help="of one experiment only")
    log.add_argument("--limit", type=int, default=50, help="(default: %(default)s)")
    log.add_argument("--json", action="store_true", help="one JSON object a line")
    log.set_defaults(run=_log)
    show = commands.add_parser("show", help="print the executed notebook of a run")
    show.add_argument("run_id", metavar="RUN")
    show.set_defaults(run=_show)
    diff = commands.add_parser("diff", help="compare the executed notebooks of two runs cell by cell")
    diff.add_argument("before", metavar="RUN")
    diff.add_argument("after", metavar="RUN")
    diff.add_argument("--outputs", action="store_true", help="compare outputs too")
    diff.set_defaults(run=_diff)
    restore = commands.add_parser("restore", help="write a run's notebook, and those that it ran, as they were: a DAG can run it")
    restore.add_argument("run_id", metavar="RUN")
    restore.add_argument("folder", type=Path)
    restore.set_defaults(run=_restore)


def _log(arguments: argparse.Namespace) -> int:
    hook, chosen = _hook(arguments), {"experiment": arguments.experiment, "limit": arguments.limit}
    found = hook.ask(lambda client: revisions(client, hook.run_url, arguments.path, **chosen))
    for revision in found:
        print(json.dumps(revision._asdict()) if arguments.json else line_of(revision))
    if not found:
        print(f"No run of {arguments.path} is known.", file=sys.stderr)
    return 0 if found else 1


def line_of(revision: Revision) -> str:
    """One revision on one line."""
    began = datetime.fromtimestamp(revision.started / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    metrics = " ".join(f"{name}={value:.4g}" for name, value in sorted(revision.metrics.items())[:_SHOWN_METRICS])
    where = f"{revision.dag_id} {revision.dag_run}"
    parts = [revision.run_id, began, revision.version[:12], revision.state, revision.user, where, metrics, revision.url]
    return "  ".join(filter(None, parts))


def _show(arguments: argparse.Namespace) -> int:
    cells = json.loads(_hook(arguments).ask(lambda client: executed(client, arguments.run_id)))["cells"]
    for number, cell in enumerate(cells, 1):
        state = cell["metadata"].get("airflow_ml", {}).get("state", "")
        print(f"[{number}] {state}\n{cell['source']}")
        for output in cell.get("outputs", ()):
            print(text_of(output))
        print()
    return 0


def text_of(output: dict[str, object]) -> str:
    """An output of a cell as text."""
    if isinstance(trace := output.get("traceback"), list):
        return "\n".join(map(str, trace))
    data = output.get("data")
    return str(data.get("text/plain", "")) if isinstance(data, dict) else str(output.get("text", "")).rstrip("\n")


def _diff(arguments: argparse.Namespace) -> int:
    try:
        import nbdime  # type: ignore[import-untyped]
        import nbformat
        from nbdime.prettyprint import PrettyPrintConfig, pretty_print_notebook_diff  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigurationError(f'nbdime cannot be loaded ({error}): pip install "airflow-ml-provider[notebooks]"') from error
    runs = (arguments.before, arguments.after)
    texts = _hook(arguments).ask(lambda client: [executed(client, run) for run in runs])
    first, second = (nbformat.reads(text, as_version=4) for text in texts)  # type: ignore[no-untyped-call]
    for document in (first, second):
        _forget_times(document, outputs=arguments.outputs)
    found = nbdime.diff_notebooks(first, second)
    config = PrettyPrintConfig(out=sys.stdout, use_color=sys.stdout.isatty())
    pretty_print_notebook_diff(arguments.before, arguments.after, first, found, config)
    return 1 if found else 0


def _forget_times(document: dict[str, object], *, outputs: bool) -> None:
    """Leave out what differs between any two runs."""
    document["metadata"] = {}
    cells = document["cells"]
    assert isinstance(cells, list)
    for cell in cells:
        cell["metadata"].pop("airflow_ml", None)
        if "outputs" in cell and not outputs:
            cell["outputs"] = []


def _restore(arguments: argparse.Namespace) -> int:
    shipped = _hook(arguments).ask(lambda client: sources(client, arguments.run_id))
    print(write_sources(shipped, arguments.folder))
    return 0


def write_sources(shipped: dict[str, object], folder: Path) -> Path:
    """Write what a run was shipped with below a folder; the path of the notebook itself."""
    files, entry = shipped["files"], str(shipped["notebook"])
    assert isinstance(files, dict)
    up = max((key.count("../") for key in files), default=0)
    base = folder.joinpath(*["x"] * up)
    for key, file in files.items():
        path = base.joinpath(key).parent.resolve() / file["name"]
        if not path.is_relative_to(folder.resolve()):
            raise ConfigurationError(f"run's notebook {key!r}: leads out of {folder}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["text"], encoding="utf-8")
    return base.joinpath(entry).parent / str(files[entry]["name"])


def _hook(arguments: argparse.Namespace) -> MLflowHook:
    from airflow_ml_provider.hooks.mlflow import MLflowHook  # brings Airflow along

    return MLflowHook(arguments.conn_id)
