"""One notebook as a job: run it, keep what it looked like, and hand back what it handed to ``exit``.

The environment says the rest: ``AIRFLOW_ML_SECRETS`` (a JSON object of secrets by ``scope/key``, taken out at once),
``AIRFLOW_ML_TASK_VALUES`` (task values by task), ``AIRFLOW_ML_RESULT`` and MLflow's own variables.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
import time
import traceback
import types
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from .cells import NotebookText
from .dbutils import Shared
from .document import Ran, redact, to_html, to_ipynb
from .errors import CellFailed, Missing
from .kernel import KernelCellFailed, needs_kernel, run_in_kernel
from .outputs import Recorder, captured, log_stream
from .redaction import Redactor
from .scala import CLASSES
from .session import Library, Session, failure, with_parameters

_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "SPARK_CONNECT_AUTHENTICATE_TOKEN")
ARTIFACTS = "notebook"
"""The folder of a run's artifacts that the executed notebook is kept in."""


def main(request: Mapping[str, Any]) -> None:
    """Run the notebook that a request names. :class:`SystemExit` with the failing cell when it fails.

    :param request: ``notebook`` (its path among ``files``), ``files`` (``{"name": …, "text": …}`` by path), ``parameters``,
        ``kernel``, ``folder`` (where modules beside the notebook are), ``names`` (by language what its cells find).
    """
    secrets = json.loads(os.environ.pop("AIRFLOW_ML_SECRETS", "{}"))
    upstream = json.loads(os.environ.pop("AIRFLOW_ML_TASK_VALUES", "{}"))
    redactor = Redactor([*secrets.values(), *of_environment()])
    _see(request.get("folder"))
    library = Library(request["files"])
    shared = Shared(None, secrets, upstream, names=request["names"])
    try:
        with log_stream() as log:
            job = _Job(request, library, shared, redactor, log)
            problem, handed_back = job.run()
        problem = problem or secret_in_result(handed_back, shared.values, Redactor(secrets.values()))
        job.keep(problem)
    except Exception as error:  # noqa: BLE001 - its message may show a secret
        print(redactor(traceback.format_exc()), file=sys.stderr)
        problem = "".join(traceback.format_exception_only(error)).strip()
    if problem:
        raise SystemExit(redactor(problem))
    _hand_back({"exit": handed_back, "task_values": shared.values})


class _Job:
    def __init__(self, request: Mapping[str, Any], library: Library, shared: Shared, redactor: Redactor, log: TextIO) -> None:
        self.path: str = request["notebook"]
        self.request = request
        self.library = library
        self.shared = shared
        self.redactor = redactor
        self.recorder = Recorder(redactor, log)
        self.notebook: NotebookText = library.read(self.path)
        self.ran: list[Ran] = []
        self.began = time.time()
        self.mlflow_run = os.environ.get("MLFLOW_RUN_ID", "")  # now: mlflow.start_run() takes it out

    def run(self) -> tuple[str, str | None]:
        """What went wrong, if something did, and what the notebook handed back."""
        kernel = needs_kernel(self.request.get("kernel"), self.notebook.kernel, self.notebook.language, self.notebook.databricks)
        with captured(self.recorder):
            try:
                if not kernel:
                    return "", self._here()
                self._in_kernel(kernel)
            except (CellFailed, Missing) as error:
                return str(error), None
        return "", None

    def _here(self) -> str | None:
        from pyspark.sql import SparkSession

        builder = SparkSession.builder
        if "scala" in self.shared.names:
            classes = Path("scala-classes").absolute()
            classes.mkdir(mode=0o700)
            builder = builder.config(CLASSES, str(classes))
        self.shared.spark = builder.getOrCreate()
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module  # functions that go to executors are pickled whole, as from a script
        session = Session(
            self.shared, self.library, self.recorder, self.path, self.request.get("parameters") or {}, module.__dict__
        )
        try:
            return session.run()
        finally:
            self.ran = session.ran

    def _in_kernel(self, kernel: str) -> None:
        cells = with_parameters(self.notebook, self.request.get("parameters") or {})
        try:
            self.ran = run_in_kernel(kernel, cells, self.recorder)
        except KernelCellFailed as error:
            self.ran = error.ran
            raise CellFailed(failure(self.path, error.number, cells[error.number - 1], error)) from None

    def keep(self, problem: str) -> None:
        """Store the executed notebook as HTML and ``.ipynb`` with the MLflow run, or beside the job's result."""
        redact(self.ran, self.redactor)
        facts = {
            "notebook": self.path,
            "state": "failed" if problem else "succeeded",
            "seconds": round(time.time() - self.began, 1),
            "parameters": self.request.get("parameters") or {},
            **{key.removeprefix("AIRFLOW_CTX_").lower(): value for key, value in os.environ.items() if key in _SHOWN},
        }
        name = posixpath.basename(self.path)
        files = {
            f"{name}.html": self.redactor(to_html(name, self.ran, facts)),
            f"{name}.ipynb": self.redactor(to_ipynb(self.ran, language=self.notebook.language, facts=facts)),
            "source.json": json.dumps({"notebook": self.path, "files": self.request["files"]}, ensure_ascii=False),
        }
        try:
            print(self.redactor(store(files, self.mlflow_run)))
        except Exception as error:  # noqa: BLE001 - what became of the notebook counts more
            print(self.redactor(f"The executed notebook was not kept: {error}"), file=sys.stderr)


_SHOWN = ("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TRY_NUMBER")


def store(files: Mapping[str, str], run_id: str) -> str:
    """Keep files with the MLflow run, or in a folder when there is no run or MLflow fails; say where."""
    if run_id and find_spec("mlflow"):
        try:
            return _log(files, run_id)
        except Exception as error:  # noqa: BLE001 - the notebook has run, whatever MLflow does
            print(f"MLflow run {run_id} does not keep the executed notebook: {error}", file=sys.stderr)
    result = os.environ.get("AIRFLOW_ML_RESULT")
    folder = (Path(result).parent if result else Path.cwd()) / ARTIFACTS
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return f"The executed notebook is in {folder}"


def _log(files: Mapping[str, str], run_id: str) -> str:
    """Log the files as artifacts. MLflow's own settings would repeat each call for minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    client = MlflowClient()
    for name, text in files.items():
        client.log_text(run_id, text, f"{ARTIFACTS}/{name}")
    return f"The executed notebook is in {ARTIFACTS}/ of MLflow run {run_id}"


def of_environment() -> list[str]:
    """Secrets that a notebook shows when it prints its environment: those of MLflow, and the token of the Spark Connect server."""
    tokens = re.findall(r"[;/]token=([^;]+)", os.environ.get("SPARK_REMOTE", ""))
    return [*tokens, *(os.environ.get(name, "") for name in _SECRET_VARIABLES)]


def secret_in_result(handed_back: str | None, values: Mapping[str, Any], redactor: Redactor) -> str:
    """Which part of the result contains a secret; empty when none does. A result is never changed: Airflow would store the secret."""
    fix = "Airflow would store it in clear. Hand on the secret's name, and have the next task read the secret itself"
    if redactor.found_in(handed_back or ""):
        return f"dbutils.notebook.exit: the exit value contains a secret: {fix}"
    for key, value in values.items():
        if redactor.found_in({key: value}):
            return f"dbutils.jobs.taskValues.set: the task value {redactor(key)!r} contains a secret: {fix}"
    return ""


def _hand_back(document: dict[str, Any]) -> None:
    if path := os.environ.get("AIRFLOW_ML_RESULT"):
        Path(path).write_text(json.dumps(document), encoding="utf-8")


def _see(folder: str | None) -> None:
    """Modules among the job's files can be imported, and those beside the notebook where the driver has its folder."""
    sys.path[:0] = [str(Path.cwd()), *([folder] if folder and Path(folder).is_dir() else [])]
