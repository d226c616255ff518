"""A Spark cluster around a group of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from airflow.sdk.definitions.taskgroup import TaskGroup

from airflow_ml_provider.hooks.spark_cluster import DEFAULT_CONN_ID
from airflow_ml_provider.operators.base import refuse_unknown
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator, TerminateSparkClusterOperator
from airflow_ml_provider.operators.spark_job import SparkJobOperator
from airflow_ml_provider.signatures import GroupFields

if TYPE_CHECKING:
    from types import TracebackType

    from airflow.sdk.definitions.xcom_arg import XComArg

    from airflow_ml_provider.signatures import ClusterGroupFields, PartialFields, ProgramFields

_GROUP_FIELDS = frozenset(GroupFields.__annotations__)


class SparkCluster(TaskGroup):
    """A task group with a cluster of its own: made before its tasks, taken down after them, whatever became of them.

    ::

        with SparkCluster("etl", workers=2) as cluster:
            ingest = cluster.job("ingest", program="jobs/ingest.py", args=["{{ ds }}"])
            train = cluster.job("train", program="jobs/train.py")
            ingest >> train

    Creation asks and returns; each job waits for the cluster itself, so tasks that need no cluster run while it starts.

    :param group_id: the group's id; its tasks ``create_cluster`` and ``terminate_cluster`` stand under it.
    :param spark_conn_id: the connection that says where the cluster is made.
    :param mlflow_conn_id: given to every task inside that takes it.
    :param experiment: the same.
    :param deferrable: the same; by default Airflow's own setting.
    :param fields: those of :class:`~airflow_ml_provider.core.spec.ClusterSpec`, and those of Airflow's ``TaskGroup``.
    """

    creator: ClassVar[type[CreateSparkClusterOperator]] = CreateSparkClusterOperator

    def __init__(
        self,
        group_id: str,
        *,
        spark_conn_id: str = DEFAULT_CONN_ID,
        mlflow_conn_id: str | None = None,
        experiment: str | None = None,
        deferrable: bool | None = None,
        **fields: Unpack[ClusterGroupFields],
    ) -> None:
        given_fields: dict[str, Any] = {**fields}
        group = {name: given_fields.pop(name) for name in _GROUP_FIELDS & given_fields.keys()}
        shared = {"mlflow_conn_id": mlflow_conn_id, "experiment": experiment, "deferrable": deferrable}
        given = {name: value for name, value in shared.items() if value is not None}
        super().__init__(group_id=group_id, **{**group, "default_args": {**group.get("default_args", {}), **given}})
        self._cluster_fields = {"spark_conn_id": spark_conn_id, **given_fields}
        self._create: CreateSparkClusterOperator | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._create = self.creator(task_id="create_cluster", **self._cluster_fields)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None) -> None:
        try:
            if _type is None:
                self._wrap()
        finally:
            self._leave()

    def _leave(self) -> None:
        super().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    @property
    def handle(self) -> XComArg:
        """The cluster's handle, for a task inside the group."""
        return self.create.output

    @property
    def create(self) -> CreateSparkClusterOperator:
        """The setup task."""
        if self._create is None:
            raise RuntimeError(f"SparkCluster({self._group_id!r}): use it as `with SparkCluster(...) as cluster:` first")
        return self._create

    def job(self, task_id: str, **fields: Unpack[ProgramFields]) -> SparkJobOperator:
        """A job on this cluster; fields as in :class:`SparkJobOperator`."""
        refuse_unknown(SparkJobOperator, fields)  # first, as Airflow would only say that `program` is missing
        return SparkJobOperator(task_id=task_id, cluster=self.handle, **fields)

    def partial(self, task_id: str, **fields: Unpack[PartialFields]) -> Any:
        """Mapped jobs on this cluster: follow it with ``.expand()`` or ``.expand_kwargs()``."""
        return SparkJobOperator.partial(task_id=task_id, cluster=self.handle, **fields)

    def _wrap(self) -> None:
        """Put the setup before every task inside, and the teardown after every one.

        Each task is a direct upstream of the teardown, not only the last ones: Airflow judges a trigger rule by direct upstreams. A
        task after a failed one counts as done at once, while a task beside the failed one may still run on the cluster.
        """
        inside = [task for task in self if task is not self.create]
        ids = {task.task_id for task in inside}
        terminate = TerminateSparkClusterOperator(task_id="terminate_cluster", cluster=self.handle)
        for task in inside:
            if task.upstream_task_ids.isdisjoint(ids):
                self.create.set_downstream(task)
            task.set_downstream(terminate)
        terminate.as_teardown(setups=self.create)
