"""Operators that make a Spark cluster and take it down. Both ask and return: neither waits."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider._compat import DEFAULT_RETRIES
from airflow_ml_provider.core.errors import ClusterFailed, ProviderError, ServiceError
from airflow_ml_provider.core.handle import Handle
from airflow_ml_provider.core.polling import decide_cluster, status_of
from airflow_ml_provider.core.spec import ClusterSpec, Mount, Node, Spec
from airflow_ml_provider.core.state import ClusterState, ClusterStatus
from airflow_ml_provider.hooks.spark_cluster import DEFAULT_CONN_ID, SparkClusterHook
from airflow_ml_provider.operators.base import (
    BRIEFLY,
    INSIST_FOR,
    UNSET,
    check_constants,
    final_errors,
    insist,
    plain,
    refuse_unknown,
)
from airflow_ml_provider.operators.context import cluster_name, cluster_tags, origin, work_of
from airflow_ml_provider.operators.programs import with_files
from airflow_ml_provider.operators.tracking import Tracking

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.core.backend import Backend, Plan
    from airflow_ml_provider.core.identity import Work

SPEC_TAG = "spec"
KEPT_TAG = "kept"
"""On a cluster that outlives its run on purpose: its ``idle_timeout`` ends it."""
_GONE = (ClusterState.TERMINATED, ClusterState.TERMINATING)
_MOST_NEW = 3
"""How many clusters one attempt makes when each of them is gone at once."""
_RETRIES = max(2, DEFAULT_RETRIES)
_RETRY_DELAY = timedelta(seconds=30)


class CreateSparkClusterOperator(BaseOperator):
    """Ask for a Spark cluster and return its handle, a string, without waiting for it. Use it as a setup task.

    Every attempt at the task finds the cluster of the one before. A cluster that has ended is followed by another one. The
    fields are those of :class:`~airflow_ml_provider.core.spec.ClusterSpec`, templated; others come from the connection's defaults.

    :param spark_conn_id: a connection of type ``spark_cluster``, which says where the cluster is made.
    :param retries: as for any task, here 2 by default: every attempt finds the cluster of the one before.
    :param retry_delay: as for any task, here 30 seconds by default.
    :raises ClusterFailed: the service answered at once that it cannot start it, or each new cluster was gone at once.
    """

    template_fields: Sequence[str] = ("spark_conn_id", "spec")
    template_fields_renderers: ClassVar[dict[str, str]] = {"spec": "json"}
    ui_color = "#f4e3c1"

    def __init__(
        self,
        *,
        spark_conn_id: str = DEFAULT_CONN_ID,
        name: str = UNSET,
        driver: Node | Mapping[str, Any] = UNSET,
        worker: Node | Mapping[str, Any] = UNSET,
        workers: int | str = UNSET,
        max_workers: int | str | None = UNSET,
        spark_version: str | None = UNSET,
        spark_conf: Mapping[str, str] = UNSET,
        env: Mapping[str, str] = UNSET,
        idle_timeout: timedelta | str | None = UNSET,
        max_lifetime: timedelta | str | None = UNSET,
        tags: Mapping[str, str] = UNSET,
        libraries: Sequence[Spec | str | Mapping[str, Any]] = UNSET,
        mounts: Sequence[Mount | Mapping[str, Any] | str] = UNSET,
        native: Mapping[str, Any] = UNSET,
        retries: int = _RETRIES,
        retry_delay: timedelta | float = _RETRY_DELAY,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(retries=retries, retry_delay=retry_delay, **kwargs)
        fields = {
            "name": name,
            "driver": driver,
            "worker": worker,
            "workers": workers,
            "max_workers": max_workers,
            "spark_version": spark_version,
            "spark_conf": spark_conf,
            "env": env,
            "idle_timeout": idle_timeout,
            "max_lifetime": max_lifetime,
            "tags": tags,
            "libraries": libraries,
            "mounts": mounts,
            "native": native,
        }
        self.spark_conn_id = spark_conn_id
        self.spec = {field: plain(value) for field, value in fields.items() if value is not UNSET}
        check_constants(ClusterSpec, self.spec)
        self._killed = False
        self._asked: tuple[Backend, str] | None = None

    def execute(self, context: Context) -> str:
        handle = self.ask(context)
        # Airflow also ends the process of a task that it gave up: the cluster may be the next attempt's by then. The teardown ends it.
        self._asked = None
        return handle

    def ask(self, context: Context) -> str:
        """The handle of this task's cluster, which is made if need be."""
        with final_errors():
            hook = SparkClusterHook(self.spark_conn_id)
            insist(lambda: hook.connection, log=self.log)
            spec = self._spec(hook, context)
            mounted, secrets = insist(partial(hook.open_mounts, spec), log=self.log)
            plan = hook.backend.plan_cluster(mounted)
            self.log.info("Asking %s for a cluster:\n%s", hook.connection.backend, json.dumps(plan, indent=2, default=str))
            cluster = self._left_by_clear(context, hook.backend, spec) or self._ask(hook.backend, plan, secrets, work_of(context))
        handle = Handle(hook.connection.backend, hook.spark_conn_id, cluster)
        error = decide_cluster(str(handle), self._describe(hook.backend, cluster)).error
        if error:
            raise error
        self.log.info("The cluster is %s", handle)
        return str(handle)

    def on_kill(self) -> None:
        self._killed = True
        if self._asked:
            backend, cluster = self._asked
            insist(partial(backend.terminate, cluster), log=self.log, within=BRIEFLY)

    def _spec(self, hook: SparkClusterHook, context: Context) -> ClusterSpec:
        fields = {**self.spec, "tags": {**self.spec.get("tags", {}), **cluster_tags(context)}}
        if "libraries" in fields:
            fields["libraries"] = with_files(fields["libraries"], context["dag"].folder)
        if "name" not in {**hook.connection.defaults, **fields}:
            fields["name"] = cluster_name(context)
        spec = hook.cluster_spec(fields)
        return spec.model_copy(update={"tags": {**spec.tags, SPEC_TAG: _digest(spec)}})

    def _left_by_clear(self, context: Context, backend: Backend, spec: ClusterSpec) -> str | None:
        """The live cluster of this task from before it was cleared: Airflow clears a setup task with every task that it serves."""
        if work_of(context).epoch <= (self.retries or 0):
            return None
        for found in owned(backend, {**cluster_tags(context), SPEC_TAG: spec.tags[SPEC_TAG]}, log=self.log):
            self.log.info("Cluster %s is still there", found)
            self._asked = backend, found
            return found
        return None

    def _ask(self, backend: Backend, plan: Plan, secrets: Mapping[str, str], work: Work) -> str:
        """The cluster of this piece of work: the first generation that has not ended, made if need be.

        Generations of earlier attempts have run, or an earlier try of this task ended each of them.
        """
        never_ran = 0
        for generation in count():
            cluster = insist(partial(self._create, backend, plan, work.token(generation), secrets), log=self.log)
            self._asked = backend, cluster
            if self._killed:
                insist(partial(backend.terminate, cluster), log=self.log, within=BRIEFLY)
                raise ClusterFailed(f"cluster {cluster} was terminated: its task was killed")
            status = self._describe(backend, cluster)
            if not (status.state in _GONE or (status.state is ClusterState.FAILED and generation < work.prior_tries)):
                return cluster
            never_ran += status.started_at is None
            if never_ran >= _MOST_NEW + work.prior_tries:
                raise ClusterFailed(
                    f"{never_ran} clusters were gone before they ran; the last one, {cluster}, is {status.state}"
                    f"{': ' * bool(status.message)}{status.message}. Look at the service for what ends them"
                )
            self.log.info("Cluster %s of an earlier attempt is %s: asking for another one", cluster, status.state)
        raise AssertionError("count() has no end")

    def _create(self, backend: Backend, plan: Plan, token: str, secrets: Mapping[str, str]) -> str:
        """Ask once, unless the task was killed meanwhile: the cluster may be another attempt's by now, and would be terminated."""
        if self._killed:
            raise ClusterFailed("the task was killed before it asked for a cluster")
        return backend.create(plan, token=token, secrets=secrets)

    def _describe(self, backend: Backend, cluster: str) -> ClusterStatus:
        return insist(lambda: status_of(backend.describe([cluster]), cluster), log=self.log)


class TerminateSparkClusterOperator(BaseOperator):
    """Ask for a cluster's end. Safe to repeat, and fine when it has ended. Use it as the teardown task.

    It then asks for the end of the run's other clusters that the same setup tasks made, such as those from before a Clear.

    :param cluster: the handle; nothing happens when there is none. Templated.
    :param mlflow_conn_id: with it, the MLflow run of the DAG run is ended too.
    :param experiment: the experiment of that run, by default the DAG's id. Templated.
    :param retries: as for any task, here 2 by default.
    :param retry_delay: as for any task, here 30 seconds by default.
    :raises ServiceError: clusters could not be asked to end; the message names each of them.
    """

    template_fields: Sequence[str] = ("cluster", "experiment")
    ui_color = "#f4e3c1"

    def __init__(
        self,
        *,
        cluster: Any,
        mlflow_conn_id: str | None = None,
        experiment: str | None = None,
        retries: int = _RETRIES,
        retry_delay: timedelta | float = _RETRY_DELAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(retries=retries, retry_delay=retry_delay, **kwargs)
        self.cluster = getattr(cluster, "handle", cluster)
        self.mlflow_conn_id = mlflow_conn_id
        self.experiment = experiment

    def execute(self, context: Context) -> None:
        try:
            if self.cluster:
                with final_errors():
                    handle = Handle.parse(self.cluster)
                    backend = insist(lambda: SparkClusterHook.for_handle(handle).backend, log=self.log)
                # The siblings are listed once the known cluster was asked to end: that needs no permission to list.
                terminate_all(backend, chain([handle.cluster], self._siblings(context, backend, handle)), log=self.log)
        finally:
            if self.mlflow_conn_id:
                Tracking(self.mlflow_conn_id, self.experiment).end_parent(context, succeeded=self._run_is_good(context))

    def _siblings(self, context: Context, backend: Backend, known: Handle) -> Iterator[str]:
        """The other live clusters of this run that the setup tasks of this teardown made."""
        setups = [task.task_id for task in self.get_direct_relatives(upstream=True) if task.is_setup]
        try:
            live = [found for setup in setups for found in owned(backend, {**origin(context), "task_id": setup}, log=self.log)]
        except ProviderError as error:
            self.log.warning("The run's other clusters cannot be listed, and are left to the janitor: %s", error)
            return
        yield from (cluster for cluster in live if cluster != known.cluster)

    def _run_is_good(self, context: Context) -> bool:
        """True when no task of the DAG run has failed so far."""
        ti: Any = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        return not any(state in ("failed", "upstream_failed") for state in states.values())


def owned(backend: Backend, tags: Mapping[str, str], *, log: Any) -> Iterator[str]:
    """The ids of the live clusters with these tags."""
    for found in insist(lambda: list(backend.owned()), log=log):
        if tags.items() <= found.tags.items() and not found.state.ended:
            yield found.id


def terminate_all(backend: Backend, clusters: Iterable[str], *, log: Any, within: float = INSIST_FOR) -> None:
    """Ask for the end of each cluster, and go on after a fault.

    :param within: seconds for which passing faults of all of them together are waited out.
    :raises ServiceError: names the clusters that could not be asked to end, and why.
    """
    end, faults = time.monotonic() + within, {}
    for cluster in clusters:
        try:
            insist(partial(backend.terminate, cluster), log=log, within=max(end - time.monotonic(), 0.0))
        except Exception as error:  # noqa: BLE001 - whatever went wrong with one, the others must end
            log.warning("Cluster %s could not be asked to end: %s", cluster, error)
            faults[cluster] = error
        else:
            log.info("Asked for the end of cluster %s", cluster)
    if faults:
        each = "\n".join(f"{cluster}: {error}" for cluster, error in faults.items())
        raise ServiceError(f"{len(faults)} clusters could not be asked to end:\n{each}") from next(iter(faults.values()))


def _digest(spec: ClusterSpec) -> str:
    """What a spec asks for, in 12 hexadecimal digits."""
    return hashlib.sha256(spec.model_dump_json(exclude={"tags"}).encode()).hexdigest()[:12]
