"""Spark inside one task: programs that an activity in a loop runs on clusters, one after the other.

Each program has a token of the loop's rounds, the activity and its attempt, so a worker that takes the place of a dead one goes through
the rounds again and finds the jobs that ran. What an activity has of its own otherwise, a cluster, the loop has for all its rounds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_ml_provider.adf.airflow.activities.call import Call
from airflow_ml_provider.adf.airflow.activities.databricks_job import task_properties
from airflow_ml_provider.adf.airflow.operators.clusters import AdfClusterOperator, AdfSharedJobOperator, end_of_shared
from airflow_ml_provider.adf.airflow.operators.spark_copy import AdfConversionOperator, conversion
from airflow_ml_provider.adf.airflow.time_limits import TimedOut
from airflow_ml_provider.adf.support import spark_programs
from airflow_ml_provider.adf.support.clusters import Wanted
from airflow_ml_provider.core.errors import ConfigurationError
from airflow_ml_provider.operators.notebooks import secrets_of
from airflow_ml_provider.operators.spark_cluster import CreateSparkClusterOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.adf.airflow.run_view import View
    from airflow_ml_provider.core.identity import Work
    from airflow_ml_provider.core.spec import JobSpec


_CLUSTERS = "clusters"
"""The note of a task's journal that names the activities whose clusters were made for it."""


class Inner:
    """The clusters of one task, and what runs on them now."""

    def __init__(self, context: Context, view: View) -> None:
        self.context = context
        self.killed = False
        self._used: list[str] = view.journal.once(_CLUSTERS, list)
        self._makers: dict[str, AdfClusterOperator] = {}
        for name in self._used:  # those of before the task was deferred
            self._maker_for(view.place.wanted[name])
        self._now: AdfClusterOperator | AdfSharedJobOperator | None = None

    def run(self, call: Call, job: spark_programs.Job, operator: type[_InnerJobOperator]) -> Any:
        """Run a program to its end, and return what it hands back."""
        maker = self._maker(call)
        with self._watched(maker):
            cluster = maker.ask(self.context)
        fields = {
            "program": job.program,
            "libraries": job.libraries,
            "spark_conf": job.spark_conf,
            "name": call.activity.path[-1],
        }
        running = operator(task_id="run", maker=maker, cluster=cluster, call=call, deferrable=False, **fields)
        with self._watched(running):
            return running.run(self.context)

    def kill(self) -> None:
        """Cancel what runs. Airflow calls it in a signal handler."""
        self.killed = True
        if self._now:
            self._now.on_kill()

    def close(self) -> None:
        """End the clusters that were made for this task."""
        for maker in self._makers.values():
            if maker.of_run:
                end_of_shared(maker, self.context)

    def _maker(self, call: Call) -> AdfClusterOperator:
        wanted: Wanted | str | None = call.view.place.wanted.get(call.activity.name)
        if not isinstance(wanted, Wanted):
            raise ConfigurationError(wanted or f"activity {call.activity.name!r}: there is no cluster for it")
        if call.activity.name not in self._used:
            self._used.append(call.activity.name)
        return self._maker_for(wanted)

    def _maker_for(self, wanted: Wanted | str) -> AdfClusterOperator:
        assert isinstance(wanted, Wanted)
        key = wanted.share or f"{wanted.conn_id or wanted.service} {_digest(wanted)}"
        if key not in self._makers:
            self._makers[key] = self._made(wanted, key)
        return self._makers[key]

    def _made(self, wanted: Wanted, key: str) -> AdfClusterOperator:
        if wanted.shared and not wanted.of_run:
            return AdfClusterOperator(
                task_id="cluster",
                service=wanted.service,
                conn_id=wanted.conn_id,
                shared=True,
                share=wanted.share,
                **wanted.fields,
            )
        share = f"{self.context['ti'].task_id} {key}"
        return _LoopsClusterOperator(
            task_id="cluster",
            service=wanted.service,
            conn_id=wanted.conn_id,
            shared=True,
            of_run=True,
            share=share,
            **wanted.fields,
        )

    @contextmanager
    def _watched(self, operator: AdfClusterOperator | AdfSharedJobOperator) -> Iterator[None]:
        """What a kill, or the timeout of the activity or of a loop, cancels meanwhile."""
        self._now = operator
        if self.killed:
            operator.on_kill()
        try:
            yield
        except TimedOut:
            operator.log.info("Time is up: cancelling what runs")
            operator.on_kill()
            if isinstance(operator, _InnerJobOperator):
                operator.until_ended()
            raise
        finally:
            self._now = None


class _LoopsClusterOperator(AdfClusterOperator):
    """A cluster of one loop: a kill while it is asked for ends it."""

    def on_kill(self) -> None:
        CreateSparkClusterOperator.on_kill(self)


class _InnerJobOperator(AdfSharedJobOperator):
    """A job of a loop's round."""

    def __init__(self, *, call: Call, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.call = call

    def run(self, context: Context) -> Any:
        return self._run(context, None)

    def until_ended(self) -> None:
        """Wait for the end of a job that was cancelled: the next attempt must not take it for one that runs."""
        if job := self._killed.job:
            self._wait().for_job(job, None)

    def _work(self, context: Context) -> Work:
        work, view = super()._work(context), self.call.view
        attempt, attempts = view.attempt
        where = " ".join([work.task_id, *map(str, view.rounds), self.call.activity.name])
        return replace(work, task_id=where, prior_tries=work.prior_tries * attempts + attempt)

    def _secrets(self, spec: JobSpec, context: Context) -> dict[str, str]:
        activity, values = self.call.activity, self.call.view.values
        around = f"{activity.task.job} / " if activity.task else ""
        beside = {name.removeprefix(around): found for name, found in values.items() if name.startswith(around)}
        return secrets_of(spec, context, beside)

    def _finish(self, context: Context, *args: Any) -> Any:
        status, name = args[1], self.call.activity.name
        if self._is_notebook and isinstance(status.result, Mapping):
            self.call.view.values[name] = dict(status.result.get("task_values") or {})
        return super()._finish(context, *args)


class _InnerConversionOperator(_InnerJobOperator, AdfConversionOperator):
    """A Copy of a loop's round."""


def _digest(wanted: Wanted) -> str:
    return hashlib.sha256(json.dumps(wanted.fields, sort_keys=True, default=str).encode()).hexdigest()[:8]


def spark(call: Call) -> Any:
    """The program of a Spark activity, or of a task of a Databricks job."""
    activity, view = call.activity, call.view
    if activity.policy.secure_input:
        raise ConfigurationError(f"activity {activity.name!r}: secureInput: take secrets from a connection instead")
    properties = task_properties(view, activity) if activity.task else call.resolve(dict(activity.type_properties))
    source = spark_programs.Source(
        view.place.programs, lambda kind, name: view.place.factory.named(kind, name, view.place.pipeline.source)
    )
    job = spark_programs.job(activity.type, properties, source)
    return spark_programs.output(activity.type, view.inner.run(call, job, _InnerJobOperator))


def convert(call: Call) -> Any:
    """A Copy that Spark does."""
    return call.view.inner.run(call, conversion(call), _InnerConversionOperator)
