"""The ``mlflow`` connection: where runs are tracked and models are registered."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from airflow.sdk.bases.hook import BaseHook

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, Unavailable
from airflow_ml_provider.hooks.forms import form_widgets, ui_field_behaviour
from airflow_ml_provider.hooks.given import given
from airflow_ml_provider.models import tracking
from airflow_ml_provider.models.failures import translated
from airflow_ml_provider.models.rest import RestClient
from airflow_ml_provider.models.tracking import JobRun, RunClient

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_CONN_ID = "mlflow_default"
_LOCAL_SCHEMES = ("sqlite", "file")
_FIELDS = ("ui_url", "artifact_location")
_ENVIRONMENT = threading.RLock()
_LIBRARY_SETTINGS = ("MLFLOW_TRACKING_", "MLFLOW_WORKSPACE", "MLFLOW_REQUEST_HEADER")
_PROMPT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_REPEATS = 1
T = TypeVar("T")
TRACKING_LIMIT = 30.0
"""Seconds that a task waits for MLflow when a job begins or ends."""
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class MLflowConnection:
    """The fields of an ``mlflow`` connection.

    :param uri: of the tracking server, or of a database or folder that stands in for one. Holds no credentials.
    :param credentials: environment variables that open it.
    :param ui_url: where people look at it.
    :param artifact_location: where new experiments keep their artifacts; None leaves it to the server.
    """

    uri: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    ui_url: str = ""
    artifact_location: str | None = None


class MLflowHook(BaseHook):
    """Opens the MLflow that an ``mlflow`` connection names.

    :param mlflow_conn_id: the connection's id.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.mlflow_conn_id = mlflow_conn_id

    @cached_property
    def connection(self) -> MLflowConnection:
        """The connection's fields, checked; :class:`ConfigurationError` names a wrong one.

        :raises Unavailable: Airflow's API server does not give it.
        """
        try:
            with given(f"connection {self.mlflow_conn_id!r}"):
                found = self.get_connection(self.mlflow_conn_id)
        except AirflowNotFoundException:
            fix = f"create a connection with this id and the type {self.conn_type!r}"
            raise ConfigurationError(f"connection {self.mlflow_conn_id!r} does not exist: {fix}") from None
        if found.conn_type != self.conn_type:
            got = f"got the type {found.conn_type!r}: takes {self.conn_type!r}"
            raise ConfigurationError(f"connection {self.mlflow_conn_id!r}: {got}")
        return parse_connection(self.mlflow_conn_id, found)

    @cached_property
    def client(self) -> MlflowClient:
        """A client whose every call is made with the connection's credentials."""
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            fix = 'pip install "airflow-ml-provider[mlflow]"'
            raise ConfigurationError(f"mlflow cannot be loaded ({error}): {fix}") from error
        _make_folder(self.connection.uri)
        client = MlflowClient(tracking_uri=self.connection.uri, registry_uri=self.connection.uri)
        credentials = self.connection.credentials
        return _WithEnvironment(client, credentials) if credentials else client  # type: ignore[return-value]

    @cached_property
    def runs(self) -> RunClient:
        """A client for runs alone. On a server it spares the task ``import mlflow``, unless a setting asks for MLflow's own client."""
        return self._runs(None)

    def _runs(self, within: float | None) -> RunClient:
        """The same, for calls that together take no more seconds."""
        if _needs_library(self.connection.uri, os.environ):
            return self.client if within is None else _Within(self.client, within, self.connection.uri)
        credentials = self.connection.credentials
        login, password = (credentials.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
        auth = (login, password) if login and password else None
        return RestClient(self.connection.uri, auth, credentials.get("MLFLOW_TRACKING_TOKEN"), within=within)

    def ask(self, call: Callable[[MlflowClient], T]) -> T:
        """Make some calls, each answered or given up within half a minute, with errors of ``core.errors``.

        :param call: gets the client. It must be safe to repeat: that is left to the caller.
        :raises Unavailable: a passing fault.
        """
        with _environment(_PROMPT), translated(self.connection.uri):
            return call(self.client)

    def get_conn(self) -> MlflowClient:
        """The client, under the name that Airflow's hooks give it."""
        return self.client

    def start_job_run(
        self, *, experiment: str, dag_run_key: str, parent_name: str, job_token: str, job_name: str, tags: Mapping[str, str]
    ) -> JobRun:
        """The run of a job, under the run of its DAG run; the same one for the same ``dag_run_key`` and ``job_token``.

        :raises ProviderError: MLflow did not do it within :data:`TRACKING_LIMIT` seconds.
        """
        client = self._runs(TRACKING_LIMIT)
        id_ = tracking.experiment_id(client, experiment, self._artifact_location(experiment))
        parent = tracking.parent_run(client, id_, dag_run_key, parent_name)
        run_id = tracking.job_run(client, id_, parent, job_token, job_name, tags)
        return JobRun(run_id, parent, experiment, self.run_url(id_, run_id))

    def environment(self, experiment: str, run_id: str | None) -> tuple[dict[str, str], dict[str, str]]:
        """What a program needs to log to its run: variables that may be seen, and those that may not.

        :param run_id: None when there is no run: the program may still make one in the experiment.
        """
        public = {"MLFLOW_TRACKING_URI": self.connection.uri, "MLFLOW_EXPERIMENT_NAME": experiment}
        return public | ({"MLFLOW_RUN_ID": run_id} if run_id else {}), dict(self.connection.credentials)

    def end_job_run(self, run_id: str, succeeded: bool) -> None:
        """Close a job's run."""
        tracking.end_run(self._runs(TRACKING_LIMIT), run_id, succeeded=succeeded)

    def end_parent_run(self, *, experiment: str, dag_run_key: str, succeeded: bool) -> None:
        """Close the DAG run's own run, if there is one."""
        tracking.end_parent(self._runs(TRACKING_LIMIT), experiment, dag_run_key, succeeded=succeeded)

    def run_url(self, experiment_id: str, run_id: str) -> str:
        """The page of a run; empty when nobody serves one."""
        base = self.connection.ui_url
        return f"{base}/#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}" if base else ""

    def model_url(self, name: str, version: str) -> str:
        """The page of a model version; empty when nobody serves one."""
        base = self.connection.ui_url
        return f"{base}/#/models/{quote(name, safe='')}/versions/{quote(version)}" if base else ""

    def test_connection(self) -> tuple[bool, str]:
        """What the Test button does: check every field, then ask for the experiments once."""
        try:
            with _environment({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}):
                self.client.search_experiments(max_results=1)
        except ProviderError as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001 - whatever the client raises is the answer to show
            return False, f"{self.connection.uri}: {error}"
        return True, f"{self.connection.uri}: ready"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's fields for Airflow 3.1; later versions read them from the provider info."""
        return form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Which standard fields the form shows in Airflow 3.1; later versions read it from the provider info."""
        return ui_field_behaviour(cls.conn_type)

    def _artifact_location(self, experiment: str) -> str | None:
        base = self.connection.artifact_location
        return f"{base}/{quote(experiment, safe='')}" if base else None


def _needs_library(uri: str, environ: Mapping[str, str]) -> bool:
    """Whether only MLflow's own client can open this: there is no server, or the worker is set up for that client."""
    scheme = urlsplit(uri).scheme
    if scheme not in ("http", "https") or Path("~/.mlflow/credentials").expanduser().exists():
        return True
    settings = [name for name in environ if name.startswith(_LIBRARY_SETTINGS) and name != "MLFLOW_TRACKING_URI"]
    return bool(settings) or (scheme == "https" and any(map(environ.get, _CERTIFICATES)))


def parse_connection(conn_id: str, connection: Any) -> MLflowConnection:
    """Read a connection; :class:`ConfigurationError` names what is wrong and what it takes, and shows no secret."""
    extra = _extra(conn_id, connection.extra)
    uri = _uri(conn_id, (connection.host or "").strip().rstrip("/"), connection.port)
    served = uri if urlsplit(uri).scheme in ("http", "https") else ""
    return MLflowConnection(
        uri=uri,
        credentials=_credentials(conn_id, connection.login, connection.password),
        ui_url=(extra.get("ui_url") or served).rstrip("/"),
        artifact_location=extra.get("artifact_location") or _beside(uri),
    )


def _uri(conn_id: str, host: str, port: int | None) -> str:
    takes = "takes http://host:port, https://host, or sqlite:////folder/mlflow.db"
    if not host:
        raise ConfigurationError(f"connection {conn_id!r}, field 'host' (Tracking URI): is empty: {takes}")
    if host.startswith("/"):
        return f"file://{host}"
    uri = host if "://" in host else f"http://{host}"
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        problem = "holds credentials: put them into the fields login and password"
        raise ConfigurationError(f"connection {conn_id!r}, field 'host' (Tracking URI): {problem}")
    if parts.scheme not in ("http", "https", *_LOCAL_SCHEMES):
        raise ConfigurationError(f"connection {conn_id!r}, field 'host' (Tracking URI): got {uri!r}: {takes}")
    if parts.scheme in _LOCAL_SCHEMES or not port or ":" in parts.netloc:
        return uri
    return f"{parts.scheme}://{parts.netloc}:{port}{parts.path}"


def _credentials(conn_id: str, login: str | None, password: str | None) -> dict[str, str]:
    if login and not password:
        raise ConfigurationError(f"connection {conn_id!r}, field 'password': is empty: takes the password of {login!r}")
    if login and password:
        return {"MLFLOW_TRACKING_USERNAME": login, "MLFLOW_TRACKING_PASSWORD": password}
    return {"MLFLOW_TRACKING_TOKEN": password} if password else {}


def _extra(conn_id: str, text: str | None) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigurationError(f"connection {conn_id!r}, extra: is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"connection {conn_id!r}, extra: got {type(found).__name__}: takes a JSON object")
    if unknown := sorted(set(found) - set(_FIELDS)):
        raise ConfigurationError(f"connection {conn_id!r}, extra: no such field: {unknown[0]!r}: takes {', '.join(_FIELDS)}")
    return {name: str(value) for name, value in found.items() if value}


def _database(uri: str) -> Path | None:
    """The file of an SQLite URI."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def _beside(uri: str) -> str | None:
    """Artifacts of a database without a server live beside it: MLflow's own default is each program's working folder."""
    database = _database(uri)
    return (database.parent / "artifacts").as_uri() if database else None


def _make_folder(uri: str) -> None:
    if database := _database(uri):
        database.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a moment: MLflow reads credentials from nowhere else."""
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


class _WithEnvironment:
    """A client whose calls are made with some environment variables set."""

    def __init__(self, client: MlflowClient, variables: Mapping[str, str]) -> None:
        self._client = client
        self._variables = variables

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            with _environment(self._variables):
                return found(*args, **kwargs)

        return call


class _Within:
    """A client whose calls together take no more than some seconds, and whose errors are ours."""

    def __init__(self, client: MlflowClient, seconds: float, uri: str) -> None:
        self._client = client
        self._uri = uri
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            left = int((self._end - time.monotonic()) / (_REPEATS + 1))
            if left < 1:
                raise Unavailable(f"MLflow at {self._uri} did not answer within {self._seconds:g} s")
            limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(_REPEATS), "MLFLOW_HTTP_REQUEST_TIMEOUT": str(left)}
            with _environment(limits), translated(self._uri):
                return found(*args, **kwargs)

        return call
