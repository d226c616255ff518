"""An Airflow of its own for these tests: a fresh home, SQLite, no example DAGs, and the memory backend behind a connection."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

if "airflow" not in sys.modules:
    _home = Path(tempfile.mkdtemp(prefix="airflow-ml-provider-"))
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    (_home / "dags").mkdir()
    os.environ |= {
        "AIRFLOW_HOME": str(_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    }

CANARY = "canary-5f1c7e"


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """The metadata database, and one API server in this process for all tasks: Airflow before 3.3 makes one a task."""
    from airflow.sdk.execution_time import supervisor
    from airflow.utils.db import initdb

    initdb()
    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        supervisor.in_process_api_server = cache(supervisor.in_process_api_server)


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database, to copy: making one takes MLflow some seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("database")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", folder.as_uri()).engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A memory service of the test's own, behind the connection ``spark_cluster_default``."""
    from airflow_ml_provider.backends.memory import SERVICES, MemoryBackend

    name = request.node.nodeid
    connection = {"conn_type": "spark_cluster", "password": CANARY, "extra": {"backend": "memory", "staging_uri": name}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_CLUSTER_DEFAULT", json.dumps(connection))
    yield MemoryBackend(name).service
    SERVICES.pop(name, None)


@pytest.fixture
def program(tmp_path: Path) -> str:
    """The path of a Python file."""
    path = tmp_path / "job.py"
    path.write_text("print('hello')\n")
    return str(path)


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What Airflow has logged since the last call, the tasks' own lines among it."""
    return lambda: capsys.readouterr().out


@pytest.fixture(params=[False, True], ids=["sync", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Both ways to wait."""
    return bool(request.param)


@pytest.fixture
def run(airflow_db: None) -> Callable[[Any], Run]:
    """Run a DAG to its end with Airflow's own task runner, triggers inline."""
    return Run


class Run:
    """A finished DAG run.

    :param conf: its parameters.
    :param state: of the run.
    """

    def __init__(self, dag: Any, conf: dict[str, Any] | None = None) -> None:
        _register(dag)
        self.dag = dag
        self._run = dag.test(run_conf=conf)

    @property
    def state(self) -> str:
        return str(self._run.state)

    @property
    def states(self) -> dict[str, str]:
        """Each task's state; a mapped one is ``task[index]``."""
        return {_name(ti): str(ti.state) for ti in self._tis()}

    def ti(self, task_id: str, map_index: int = -1) -> Any:
        return next(ti for ti in self._tis() if (ti.task_id, ti.map_index) == (task_id, map_index))

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The XCom as tasks see it; None when there is none."""
        return self.xcoms().get((task_id, map_index, key))

    def xcoms(self) -> dict[tuple[str, int, str], Any]:
        """Every XCom of the run by task, map index and key."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            rows = session.query(XComModel).filter_by(dag_id=self.dag.dag_id, run_id=self._run.run_id).all()
            return {(row.task_id, row.map_index, row.key): XComModel.deserialize_value(row) for row in rows}

    def rendered(self, task_id: str) -> dict[str, Any]:
        """The rendered template fields as Airflow stored them."""
        from airflow.models.renderedtifields import RenderedTaskInstanceFields
        from airflow.utils.session import create_session

        with create_session() as session:
            row = session.query(RenderedTaskInstanceFields).filter_by(run_id=self._run.run_id, task_id=task_id).one()
            return dict(row.rendered_fields)

    def run_again(self, task_id: str, *, cleared: bool, map_index: int = -1) -> None:
        """Run one task again: after a user's Clear, or as another try after its worker died before it reported."""
        from airflow.models.taskinstance import clear_task_instances
        from airflow.sdk.definitions.dag import _run_task
        from airflow.utils.session import create_session

        ti = self.ti(task_id, map_index)
        with create_session() as session:
            ti = session.merge(ti)
            if cleared:
                clear_task_instances([ti], session, dag_run_state=False)
            else:
                ti.prepare_db_for_next_try(session)
            ti.try_number += 1
            session.flush()
        _run_task(ti=ti, task=self.dag.task_dict[task_id], run_triggerer=True)

    def would_start(self, states: dict[str, str | None]) -> set[str]:
        """The tasks that Airflow's scheduler would start if tasks were in these states."""
        from airflow.models.dagbag import DBDagBag
        from airflow.utils.session import create_session

        with create_session() as session:
            run = session.merge(self._run)
            run.dag = DBDagBag().get_latest_version_of_dag(self.dag.dag_id, session=session)
            for ti in run.get_task_instances(session=session):
                if ti.task_id in states:
                    ti.state = states[ti.task_id]
            session.flush()
            decision = run.task_instance_scheduling_decisions(session=session)
            return {ti.task_id for ti in decision.schedulable_tis}

    def _tis(self) -> list[Any]:
        from airflow.utils.session import create_session

        with create_session() as session:
            return list(self._run.get_task_instances(session=session))


def dags_of(file: Path) -> dict[str, Any]:
    """The DAGs that Airflow finds in a file, by id."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag
    bag: Any = DagBag(str(file))
    assert not bag.import_errors
    return dict(bag.dags)


def _name(ti: Any) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def _register(dag: Any) -> None:
    """Make a DAG that is in no file known to the database, as its processor would."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    try:
        from airflow.serialization.definitions.dag import SerializedDAG
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG

    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
        session.commit()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("dags-folder", None, [lazy], session=session)
        SerializedDagModel.write_dag(lazy, bundle_name="dags-folder", session=session)


def forget_key() -> None:
    """Have Airflow read its Fernet key anew; before 3.2 it keeps it in a variable."""
    from airflow.models import crypto

    if hasattr(crypto.get_fernet, "cache_clear"):
        crypto.get_fernet.cache_clear()
    else:
        crypto._fernet = None
