"""The first task of a pipeline that windows or events start: it waits for what comes before, and tells one event from another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.bases.sensor import BaseSensorOperator

from airflow_ml_provider._compat import AirflowFailException, AirflowSkipException
from airflow_ml_provider.adf.airflow.run_origin import STARTED_BY, run_type
from airflow_ml_provider.adf.airflow.started_runs import run_id_after, start_run
from airflow_ml_provider.adf.airflow.task_index import Place
from airflow_ml_provider.adf.triggers.cut_over import begun
from airflow_ml_provider.adf.triggers.events import Events
from airflow_ml_provider.adf.triggers.reader import Start, start
from airflow_ml_provider.adf.triggers.windows import Span, Wait, Windows

if TYPE_CHECKING:
    from airflow.sdk import Context

_WEEK = timedelta(days=7)
_NEAR = 50
"""Windows before and after one that are looked for, so that the address of a call to Airflow's API stays short."""


@dataclass(frozen=True)
class Upstream:
    """A DAG whose windows must be done, and which of them.

    :param dag_id: empty where the export has no such trigger.
    """

    dag_id: str
    windows: Windows
    wait: Wait

    def due(self, window: Span) -> list[Span]:
        """The windows that one waits for; those before the first that is handled here count as done."""
        found = self.windows.overlapping(self.wait.span(window))
        return [one for one in found if self.wait.trigger or one.start < window.start]

    def near(self, numbers: range) -> list[Span]:
        """The windows of those numbers."""
        return [one for one in map(self.windows.window, numbers) if one]


def _runs(ti: Any, upstream: Upstream, windows: Sequence[Span], states: list[str] | None = None) -> int:
    """How many of the windows have a run in the DAG."""
    dates = [one.start for one in windows]
    return int(ti.get_dr_count(dag_id=upstream.dag_id, logical_dates=dates, states=states)) if dates else 0


class AdfWindowSensor(BaseSensorOperator):
    """Wait until the windows that the run's window depends on are done. It holds no worker while it waits, and waits for a week.

    :param upstream: each must be done.
    """

    shallow_copy_attrs: Sequence[str] = ("upstream",)
    ui_color = "#dce9f5"

    def __init__(self, *, upstream: Sequence[Upstream], **kwargs: Any) -> None:
        super().__init__(mode="reschedule", timeout=_WEEK, **kwargs)
        self.upstream = tuple(upstream)

    def poke(self, context: Context) -> bool:
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None:
            return True
        return all(self._is_done(context["ti"], one, Span(start, end)) for one in self.upstream)

    def _is_done(self, ti: Any, upstream: Upstream, window: Span) -> bool:
        if not upstream.dag_id:
            raise AirflowFailException(f"depends on windows of {upstream.wait.trigger!r}: takes a tumbling trigger of the export")
        due = upstream.due(window)
        done = _runs(ti, upstream, due, ["success"])
        if done < len(due):
            done += self._done_before(ti, upstream, due)
        self.log.info("DAG %s: %d of %d windows are done", upstream.dag_id, done, len(due))
        return done == len(due)

    def _done_before(self, ti: Any, upstream: Upstream, due: Sequence[Span]) -> int:
        """How many of the windows lie before the first one that has ever had a run here: they were another service's.

        The DAG begins with the window that was open as it was unpaused. So these are windows without a run before which there is no run
        either, while a later window has one.
        """
        number = upstream.windows.number(due[0].start)
        if _runs(ti, upstream, upstream.near(range(number - _NEAR, number))):
            return 0
        before = 0
        for one in due:
            if _runs(ti, upstream, [one]):
                return before
            before += 1
        number = upstream.windows.number(due[-1].start)
        return before if _runs(ti, upstream, upstream.near(range(number + 1, number + 1 + _NEAR))) else 0


class AdfEventOperator(BaseOperator):
    """Take the event that started the run. Airflow gives a run all events since the last one, and Data Factory a run to each: for each
    further one another run of the DAG is started. An event that comes while a run waits to be made is the next run's, as Airflow has it.

    Its XCom is :data:`~airflow_ml_provider.adf.airflow.run_origin.STARTED_BY`; None of a run that no event started. Without an event that the trigger takes, the run is skipped.

    :param assets: the triggers by the names of their assets.
    """

    shallow_copy_attrs: Sequence[str] = ("assets",)
    ui_color = "#dce9f5"

    def __init__(self, *, assets: Mapping[str, Start], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.assets = dict(assets)

    def execute(self, context: Context) -> dict[str, Any] | None:
        ti, run = context["ti"], context["dag_run"]
        if given := (run.conf or {}).get(STARTED_BY):
            return dict(given)
        if run_type(run) != "asset_triggered":
            return None
        found = list(self._events(context.get("triggering_asset_events") or {}))
        if not found:
            raise AirflowSkipException("no event is of the types and subjects that the trigger takes")
        for number, event in enumerate(found[1:], 1):
            start_run(ti.dag_id, run_id_after(ti.run_id, f"event_{number}"), {STARTED_BY: event})
        return found[0]

    def _events(self, told: Mapping[Any, Any]) -> Iterator[dict[str, Any]]:
        for event in (event for events in told.values() for event in events):
            start, extra = self.assets.get(event.asset.name), dict(event.extra or {})
            if start and isinstance(start.timing, Events):
                bodies = [{"event": extra}] if start.timing.takes(extra) else []
            else:
                bodies = (extra.get("payload") or extra).get("blobs", []) if start else []
            yield from ({"trigger": start.trigger, "body": body} for body in bodies if start)


def begin_task(assets: Mapping[str, Start], upstream: Sequence[Upstream]) -> Any:
    """The first task in the DAG that is being defined; None where nothing is to be waited for or told apart."""
    if upstream:
        return AdfWindowSensor(task_id="window", upstream=upstream)
    return AdfEventOperator(task_id="event", assets=assets) if assets else None


def upstream(starts: Sequence[Start], place: Place) -> list[Upstream]:
    """The windows that a pipeline's windows depend on."""
    windows = [one.timing for one in starts if isinstance(one.timing, Windows)]
    return [found for own in windows for wait in own.waits for found in _upstream(own, wait, place)]


def _upstream(own: Windows, wait: Wait, place: Place) -> Iterator[Upstream]:
    if not wait.trigger:
        yield Upstream(place.dag_ids[place.pipeline.key], own, wait)
        return
    trigger = place.factory.named("trigger", wait.trigger, place.pipeline.source)
    started = [one for one in place.factory.pipelines if trigger and place.factory.pipeline(one.name, trigger.source) is one]
    found = [(place.dag_ids[one.key], start(trigger, one.name)) for one in started if trigger and one.key in place.dag_ids]
    moved = [(dag_id, by) for dag_id, at in found if at for by in begun([at], place.since)]
    windows = [(dag_id, by.timing) for dag_id, by in moved if isinstance(by.timing, Windows)]
    yield from (Upstream(dag_id, timing, wait) for dag_id, timing in windows or [("", own)])
