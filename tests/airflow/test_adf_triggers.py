"""Triggers in Airflow: timetables through its database, windows that wait for windows, and runs that events start."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from inspect import signature
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction

from airflow_ml_provider.adf.airflow.blob_watcher import BlobWatcher
from airflow_ml_provider.adf.airflow.dag_file import adf_dags
from airflow_ml_provider.adf.airflow.seen_files import to_keep
from airflow_ml_provider.adf.airflow.timetables import RecurrenceTimetable, WindowTimetable
from airflow_ml_provider.adf.triggers.events import CREATED, DELETED
from airflow_ml_provider.adf.triggers.recurrence import Recurrence
from airflow_ml_provider.adf.triggers.windows import Windows
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.filesystems.matching import File, matches
from airflow_ml_provider.filesystems.mount import MountFileSystem
from tests.airflow.conftest import Run, _register
from tests.airflow.test_adf_control import put
from tests.airflow.test_adf_semantics import good
from tests.airflow.test_mounts import connect

BLOBS = {"scope": "/storageAccounts/lake", "events": ["Microsoft.Storage.BlobCreated"], "blobPathBeginsWith": "/raw/blobs/in/"}


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Write pipelines and triggers down; returns the DAGs."""

    def written(pipelines: dict[str, dict[str, Any]], triggers: dict[str, dict[str, Any]], **fields: Any) -> dict[str, Any]:
        for kind, documents in (("pipeline", pipelines), ("trigger", triggers)):
            (tmp_path / kind).mkdir(exist_ok=True)
            for name, properties in documents.items():
                (tmp_path / kind / f"{name}.json").write_text(json.dumps({"name": name, "properties": properties}))
        return adf_dags(tmp_path, **fields)

    return written


def starting(pipeline: str, kind: str, properties: dict[str, Any], parameters: dict[str, Any] | None = None, **more: Any) -> Any:
    start = {"pipelineReference": {"referenceName": pipeline}, "parameters": parameters or {}}
    many = {"pipeline": start} if kind == "TumblingWindowTrigger" else {"pipelines": [start]}
    return {"type": kind, "typeProperties": properties, **many, **more}


def recurrence(frequency: str, interval: int, start: str, **plan: Any) -> dict[str, Any]:
    return {"recurrence": {"frequency": frequency, "interval": interval, "startTime": start, "timeZone": "UTC", "schedule": plan}}


def stored(dag: Any) -> Any:
    """The DAG as the scheduler reads it from its database."""
    from airflow.models.serialized_dag import SerializedDagModel

    _register(dag)
    model = SerializedDagModel.get(dag.dag_id)
    assert model is not None
    return model.dag


def test_the_scheduler_plans_every_trigger_of_a_pipeline(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    dag = stored(
        export(
            {"planned": {"activities": [good("a")]}},
            {
                "fortnight": starting(
                    "planned", "ScheduleTrigger", recurrence("Week", 2, "2024-05-06T06:00:00", weekDays=["Monday", "Thursday"])
                ),
                "last": starting(
                    "planned", "ScheduleTrigger", recurrence("Month", 1, "2024-05-06T06:00:00", monthDays=[-2, -12])
                ),
                "off": starting(
                    "planned", "ScheduleTrigger", recurrence("Minute", 1, "2024-05-06T06:00:00"), runtimeState="Stopped"
                ),
            },
        )["planned"]
    )
    planned = [
        info.run_after
        for info in dag.iter_dagrun_infos_between(datetime(2024, 5, 6, tzinfo=UTC), datetime(2024, 6, 4, tzinfo=UTC))
    ]
    assert [f"{at:%m-%d %H}" for at in planned] == [
        "05-06 06",
        "05-09 06",
        "05-20 06",
        "05-20 06",
        "05-23 06",
        "05-30 06",
        "06-03 06",
    ]
    assert [at.microsecond for at in planned] == [0, 0, 0, 1, 0, 1, 0]
    assert dag.timetable.summary.startswith("every 2 weeks on Monday, Thursday")


class Scheduled(Run):
    """A run that Airflow's scheduler made, run to its end.

    :param meanwhile: is called once while tasks wait.
    """

    def __init__(self, dag: Any, meanwhile: Callable[[], Any] = lambda: None) -> None:
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.models.dag import DagModel
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session

        _register(dag)
        self.dag = dag
        scheduler: Any = SchedulerJobRunner(Job())
        with create_session() as session:
            model = session.get(DagModel, dag.dag_id)
            if "Asset" in type(stored(dag).timetable).__name__:
                make = scheduler._create_dag_runs_asset_triggered
                now = {"triggered_date_by_dag": {dag.dag_id: datetime.now(UTC)}}  # what Airflow before 3.2 asks for
                known = {name: value for name, value in now.items() if name in signature(make).parameters}
                make(dag_models=[model], session=session, **known)
            else:
                scheduler._create_dag_runs([model], session)
        with create_session() as session:
            self._run = session.query(DagRun).filter_by(dag_id=dag.dag_id).order_by(DagRun.id.desc()).first()
            self.finish(session, meanwhile)

    def finish(self, session: Any, meanwhile: Callable[[], Any] = lambda: None) -> None:
        from airflow.sdk.definitions.dag import _run_task

        run = self._run
        run.dag, run.state = stored(self.dag), "running"
        while run.state == "running":
            ready, _ = run.update_state(session=session)
            for ti in ready:
                ti.try_number += ti.state != "up_for_reschedule"
                ti.state = "scheduled"
            session.commit()
            for ti in ready:
                _run_task(ti=ti, task=self.dag.task_dict[ti.task_id], run_triggerer=True)
            meanwhile()
            meanwhile = lambda: None  # noqa: E731
            session.expire_all()
            run.dag = stored(self.dag)
        session.commit()


def returning(**texts: str) -> dict[str, Any]:
    """An activity whose pipeline returns the values of these expressions."""
    told = [{"key": key, "value": {"type": "Expression", "content": text}} for key, text in texts.items()]
    return put("tell", "pipelineReturnValue", told, setSystemVariable=True)


def test_the_schedulers_runs_have_the_parameters_of_the_trigger_that_started_them(
    airflow_db: None, export: Callable[..., dict[str, Any]]
) -> None:
    tell = returning(who="@pipeline().parameters.who", by="@{pipeline().TriggerName} @{pipeline().TriggerType}")
    dag = export(
        {"given": {"activities": [tell], "parameters": {"who": {"type": "String"}}}},
        {
            name: starting(
                "given",
                "ScheduleTrigger",
                recurrence("Day", 1, "2024-05-06T06:00:00"),
                {"who": f"{name} @{{formatDateTime(trigger().scheduledTime, 'HH:mm')}}"},
            )
            for name in ("one", "two")
        },
    )["given"]
    assert [Scheduled(dag).xcom("pipeline_end") for _ in range(2)] == [
        {"who": "one 06:00", "by": "one ScheduleTrigger"},
        {"who": "two 06:00", "by": "two ScheduleTrigger"},
    ]


WINDOW = "@{formatDateTime(trigger().outputs.windowStartTime,'dd HH')}-@{formatDateTime(trigger().outputs.windowEndTime,'HH')}"


def test_windows_are_made_up_for_and_wait_for_the_windows_they_depend_on(
    airflow_db: None, export: Callable[..., dict[str, Any]]
) -> None:
    hourly = {"frequency": "Hour", "startTime": "2024-05-06T00:00:00Z"}
    depends = [
        {"type": "TumblingWindowTriggerDependencyReference", "referenceTrigger": {"referenceName": "each hour"}},
        {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-02:00:00", "size": "02:00:00"},
    ]
    given = {"window": {"type": "String"}}
    dags = export(
        {
            "hours": {"activities": [good("a")]},
            "pairs": {"activities": [returning(window="@pipeline().parameters.window")], "parameters": given},
            "lost": {"activities": [good("never"), good("caught")]},
        },
        {
            "each hour": starting("hours", "TumblingWindowTrigger", {**hourly, "interval": 1, "maxConcurrency": 7}),
            "each pair": starting(
                "pairs",
                "TumblingWindowTrigger",
                {**hourly, "interval": 2, "delay": "00:30:00", "dependsOn": depends},
                {"window": WINDOW},
            ),
            "alone": starting(
                "lost",
                "TumblingWindowTrigger",
                {**hourly, "interval": 1, "dependsOn": [{**depends[0], "referenceTrigger": {"referenceName": "nobody"}}]},
            ),
        },
        start_from="2024-05-06T00:00:00Z",
    )
    hours, pairs = dags["hours"], dags["pairs"]
    assert (hours.max_active_runs, hours.catchup) == (7, True)
    pairs.task_dict["window"].poke_interval = 0
    waited: list[str] = []

    def meanwhile() -> None:
        waited.extend(Scheduled(hours).state for _ in range(2))

    first = Scheduled(pairs, meanwhile)
    assert waited == ["success", "success"]
    assert (first.state, first.xcom("pipeline_end")) == ("success", {"window": "06 00-02"})
    assert f"{first._run.run_after:%H:%M}" == "02:30"
    lost = Scheduled(dags["lost"])
    assert (lost.state, lost.states) == (
        "failed",
        {"window": "failed", "never": "skipped", "caught": "skipped", "pipeline_end": "failed"},
    )


def test_windows_of_before_the_cut_over_count_as_done(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    """Nobody says when to begin: both DAGs begin with the window that is open now, and wait for none that was Data Factory's."""
    hourly = {"frequency": "Hour", "startTime": "2019-05-06T00:00:00Z"}
    depends = [
        {"type": "TumblingWindowTriggerDependencyReference", "referenceTrigger": {"referenceName": "each hour"}},
        {"type": "SelfDependencyTumblingWindowTriggerReference", "offset": "-02:00:00", "size": "02:00:00"},
    ]
    dags = export(
        {"clock": {"activities": [good("a")]}, "couples": {"activities": [good("b")]}},
        {
            "each hour": starting("clock", "TumblingWindowTrigger", {**hourly, "interval": 1}),
            "each pair": starting("couples", "TumblingWindowTrigger", {**hourly, "interval": 2, "dependsOn": depends}),
        },
    )
    hours, pairs = dags["clock"], dags["couples"]
    pairs.task_dict["window"].poke_interval = 0
    seen: list[str] = []

    def meanwhile() -> None:
        first = first_of("couples")
        seen.append(str(first.state))
        while Scheduled(hours)._run.data_interval_end < first.dag_run.data_interval_end:
            pass

    begun_at = datetime.now(UTC)
    first = Scheduled(pairs, meanwhile)
    assert first._run.data_interval_end > begun_at - timedelta(minutes=2)
    assert first.state == "success"
    assert seen == ["up_for_reschedule"]


def first_of(dag_id: str) -> Any:
    """The task instance of a DAG's window."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(TaskInstance).filter_by(dag_id=dag_id, task_id="window").one()
        assert found.dag_run.data_interval_end  # read while there is a session
        return found


def nothing_before(catchup: bool = False) -> TimeRestriction:
    return TimeRestriction(earliest=None, latest=None, catchup=catchup)


def test_nothing_starts_as_a_dag_is_unpaused() -> None:
    """An hourly window since 2019, and a schedule: the first run is one that is due from now on; since then each is made up for."""
    now, since = datetime.now(UTC), datetime(2019, 1, 1, tzinfo=UTC)
    windows = WindowTimetable(Windows(since, "hour", 1))
    found = windows.next_dagrun_info(last_automated_data_interval=None, restriction=nothing_before(catchup=True))
    assert found and now - timedelta(minutes=2) < found.run_after <= now + timedelta(hours=1, seconds=60)
    long_ago = DataInterval.exact(pendulum.datetime(2020, 1, 1))
    found = windows.next_dagrun_info(last_automated_data_interval=long_ago, restriction=nothing_before(catchup=True))
    assert found and found.data_interval.start == datetime(2020, 1, 1, 1, tzinfo=UTC)
    daily = RecurrenceTimetable([Recurrence("day", 1, since.astimezone(ZoneInfo("UTC")), ZoneInfo("UTC"))])
    found = daily.next_dagrun_info(last_automated_data_interval=None, restriction=nothing_before())
    assert found and now - timedelta(minutes=2) < found.run_after <= now + timedelta(days=1, seconds=60)
    found = daily.next_dagrun_info(last_automated_data_interval=long_ago, restriction=nothing_before())
    assert found and now - timedelta(days=1, seconds=60) < found.run_after <= now + timedelta(seconds=60)


def test_a_file_that_is_parsed_after_the_first_moment_does_not_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow asks for the next run at each parse, also between a window's end and the scheduler's next look."""
    start = datetime.now(UTC) - timedelta(hours=3, seconds=30)
    found = WindowTimetable(Windows(start, "hour", 1)).next_dagrun_info(
        last_automated_data_interval=None, restriction=nothing_before(catchup=True)
    )
    assert found and found.data_interval.end == start + timedelta(hours=3)


def test_start_from_says_which_windows_and_times_count(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    hourly = {"frequency": "Hour", "interval": 1, "startTime": "2019-05-06T00:00:00Z"}
    pipelines = {name: {"activities": [good("a")]} for name in ("hours", "days", "others")}
    triggers = {
        "each hour": starting("hours", "TumblingWindowTrigger", hourly),
        "other hour": starting("others", "TumblingWindowTrigger", hourly),
        "each day": starting("days", "ScheduleTrigger", recurrence("Day", 1, "2019-05-06T06:00:00")),
    }
    dags = export(pipelines, triggers, start_from={"EACH hour": "2024-05-06T00:30", "each day": date(2040, 1, 1)})
    nexts = {name: stored(dag).next_dagrun_info(last_automated_run_info=None) for name, dag in dags.items()}
    assert str(nexts["hours"].data_interval.start) == "2024-05-06 01:00:00+00:00"
    assert str(nexts["days"].run_after) == "2040-01-01 06:00:00+00:00"
    assert nexts["others"].run_after > datetime.now(UTC) - timedelta(minutes=2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("soon", "start_from: expected a date and a time, such as .*, got 'soon'"),
        (7, "start_from: expected a date and a time, .*, got 7"),
        ({"each hour": None}, r"start_from\['each hour'\]: expected a date and a time"),
        (
            {"each our": "2024-01-01"},
            "start_from: got the trigger 'each our', which the export does not have: did you mean 'each hour'",
        ),
    ],
)
def test_a_start_from_that_is_none_is_refused(export: Callable[..., dict[str, Any]], given: Any, told: str) -> None:
    hourly = {"frequency": "Hour", "interval": 1, "startTime": "2019-05-06T00:00:00Z"}
    with pytest.raises(SpecError, match=told):
        export(
            {"hours": {"activities": [good("a")]}},
            {"each hour": starting("hours", "TumblingWindowTrigger", hourly)},
            start_from=given,
        )


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The container ``raw`` of the storage account ``lake``, a folder."""
    connect(monkeypatch, "lake", tmp_path / "lake")
    (tmp_path / "lake" / "raw" / "in").mkdir(parents=True)
    return tmp_path / "lake" / "raw"


def _see_assets(dag: Any) -> None:
    """What the scheduler and the DAG processor do about the assets of a DAG that is not paused."""
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.get(DagModel, dag.dag_id).is_paused = False
        SchedulerJobRunner(Job())._update_asset_orphanage(session=session)
    _register(dag)


async def told(watcher: BlobWatcher, meanwhile: Callable[[], Any], count: int) -> list[dict[str, Any]]:
    """The files that a watcher tells of, of those that are written after its first look."""
    found: list[dict[str, Any]] = []

    async def watch() -> None:
        async for event in watcher.run():
            found.extend(event.payload["blobs"])
            if len(found) >= count:
                return

    async with asyncio.timeout(60):
        watching = asyncio.create_task(watch())
        while not watcher._looks and not watching.done():
            await asyncio.sleep(0.01)
        await asyncio.to_thread(meanwhile)
        await watching
    return found


def test_a_watcher_tells_of_files_that_are_written(lake: Path) -> None:
    (lake / "in" / "old.csv").write_text("old")
    (lake / "in" / "kept.csv").write_text("kept")

    def write() -> None:
        (lake / "in" / "day=1").mkdir()
        for name, text in (
            ("in/day=1/b.csv", "b"),
            ("in/c.txt", "c"),
            ("in/empty.csv", ""),
            ("out.csv", "d"),
            ("in/old.csv", "newer"),
        ):
            (lake / name).write_text(text)

    watcher = BlobWatcher("tr", "mount://lake/raw/in/", ends=".csv", ignore_empty=True, poll_interval=0.05)
    found = asyncio.run(told(watcher, write, 2))
    assert sorted((one["folderPath"], one["fileName"]) for one in found) == [("raw/in", "old.csv"), ("raw/in/day=1", "b.csv")]


class Store(dict[str, Any]):
    """What Airflow keeps for an asset, from 3.3, as its triggerer hands it to a watcher."""

    async def aget(self, key: str) -> Any:
        return self.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self[key] = value


def test_a_watcher_tells_of_what_came_while_there_was_none(lake: Path) -> None:
    store = Store()

    def watch(meanwhile: Callable[[], Any], count: int = 1) -> list[str]:
        watcher = BlobWatcher("tr", "mount://lake/raw/in/", poll_interval=0.05)
        watcher.asset_state_store = store
        return [one["fileName"] for one in asyncio.run(told(watcher, meanwhile, count))]

    (lake / "in" / "old").write_text("old")
    assert watch(lambda: (lake / "in" / "first").write_text("1")) == ["first"]
    kept = to_keep(files(lake), deletions=False)
    assert store.keys() == kept.keys()
    store |= kept  # the watcher was stopped before it kept what it has told of
    second = (lake / "in" / "first").stat().st_mtime
    (lake / "in" / "same second").write_text("2")
    (lake / "in" / "late").write_text("3")
    os.utime(lake / "in" / "same second", (second, second))
    os.utime(lake / "in" / "late", (second - 100, second - 100))
    assert sorted(watch(lambda: None, 2)) == ["late", "same second"]


def files(lake: Path) -> list[File]:
    """What the watchers' listing shows."""
    return matches(MountFileSystem(), "lake/raw/in", ["mount://lake/raw/in/*"])["mount://lake/raw/in/*"]


@pytest.mark.parametrize("created", [False, True])
def test_a_watcher_tells_of_files_that_are_deleted(lake: Path, created: bool) -> None:
    for name, text in (("in/a.csv", "a"), ("in/empty.csv", ""), ("in/cut.csv", "long"), ("in/b.txt", "b"), ("out.csv", "c")):
        (lake / name).write_text(text)

    def change() -> None:
        (lake / "in" / "new.csv").write_text("new")
        (lake / "in" / "cut.csv").write_text("")
        for name in ("in/empty.csv", "in/b.txt", "out.csv", "in/a.csv"):
            (lake / name).unlink()

    watcher = BlobWatcher(
        "tr", "mount://lake/raw/in/", ends=".csv", ignore_empty=True, created=created, deleted=True, poll_interval=0.05
    )
    found = asyncio.run(told(watcher, change, 1 + created))
    expected = [("raw/in", "a.csv"), *([("raw/in", "new.csv")] if created else [])]
    assert sorted((one["folderPath"], one["fileName"]) for one in found) == expected


def test_a_watcher_tells_of_what_was_deleted_while_there_was_none(lake: Path) -> None:
    store = Store()

    def watch(meanwhile: Callable[[], Any]) -> list[str]:
        watcher = BlobWatcher("tr", "mount://lake/raw/in/", ignore_empty=True, deleted=True, poll_interval=0.05)
        watcher.asset_state_store = store
        return [one["fileName"] for one in asyncio.run(told(watcher, meanwhile, 1))]

    for name, text in (("gone", "1"), ("kept", "2"), ("empty", "")):
        (lake / "in" / name).write_text(text)
    assert watch(lambda: (lake / "in" / "first").write_text("1")) == ["first"]
    store |= to_keep(files(lake), deletions=True)
    (lake / "in" / "gone").unlink()
    (lake / "in" / "empty").unlink()
    assert watch(lambda: None) == ["gone"]


@pytest.mark.parametrize("event", [CREATED, DELETED])
def test_each_blob_starts_a_run_of_its_own(
    airflow_db: None, export: Callable[..., dict[str, Any]], lake: Path, event: str
) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.trigger import Trigger
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session

    given = {"folder": "@triggerBody().folderPath", "file": "@trigger().outputs.body.fileName"}
    tell = returning(**{name: f"@pipeline().parameters.{name}" for name in given}, by="@pipeline().TriggerType")
    name = event.rpartition(".")[2]
    dag = export(
        {name: {"activities": [tell], "parameters": {name: {"type": "String"} for name in given}}},
        {f"on {name}": starting(name, "BlobEventsTrigger", {**BLOBS, "events": [event]}, given)},
    )[name]
    _register(dag)
    _see_assets(dag)
    with create_session() as session:
        rows = session.query(Trigger).filter(Trigger.classpath.endswith("BlobWatcher"))
        row = next(one for one in rows if one.kwargs["deleted"] == (event == DELETED))
        watcher, id_ = BlobWatcher(**{**row.kwargs, "poll_interval": 0.05}), row.id
    files = [lake / "in" / f"{name}.csv" for name in "ab"]
    if event == DELETED:
        [file.write_text("old") for file in files]
    change = [lambda: [file.write_text("new") for file in files], lambda: [file.unlink() for file in files]][event == DELETED]
    found = asyncio.run(told(watcher, change, 2))
    Trigger.submit_event(id_, TriggerEvent({"blobs": found}))
    first = Scheduled(dag)
    with create_session() as session:
        other = session.query(DagRun).filter_by(dag_id=dag.dag_id).order_by(DagRun.id.desc()).first()
        assert other is not None and other.run_id == f"from_{first._run.run_id}__event_1"
        second = Scheduled.__new__(Scheduled)
        second.dag, second._run = dag, other
        second.finish(session)
    runs = sorted((first, second), key=lambda run: run.xcom("pipeline_end")["file"])
    assert [run.xcom("pipeline_end") for run in runs] == [
        {"folder": "raw/in", "file": f"{name}.csv", "by": "BlobEventsTrigger"} for name in "ab"
    ]


def test_a_run_that_the_scheduler_made_starts_another_pipelines(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    called = {"pipeline": {"referenceName": "callee", "type": "PipelineReference"}, "waitOnCompletion": False}
    call = {"name": "call", "type": "ExecutePipeline", "typeProperties": called}
    dags = export(
        {"caller": {"activities": [call]}, "callee": {"activities": [good("a")]}},
        {"daily": starting("caller", "ScheduleTrigger", recurrence("Day", 1, "2024-05-06T06:00:00"))},
    )
    _register(dags["callee"])
    done = Scheduled(dags["caller"])
    assert done.state == "success"
    with create_session() as session:
        (run_id,) = [one.run_id for one in session.query(DagRun).filter_by(dag_id="callee")]
    assert run_id == f"from_{done._run.run_id}__call.-1.1.0"


def test_custom_events_are_an_assets_and_only_some_count(airflow_db: None, export: Callable[..., dict[str, Any]]) -> None:
    from airflow.assets.manager import AssetManager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session

    bag = {"scope": "/topics/orders", "events": ["placed"], "subjectBeginsWith": "eu/"}
    tell = returning(order="@pipeline().parameters.order")
    dag = export(
        {"ordered": {"activities": [tell], "parameters": {"order": {"type": "Int"}}}},
        {"on order": starting("ordered", "CustomEventsTrigger", bag, {"order": "@triggerBody().event.data.order"})},
    )["ordered"]
    _register(dag)
    _see_assets(dag)

    def send(event: dict[str, Any]) -> Scheduled:
        with create_session() as session:
            asset = session.query(AssetModel).filter_by(name="on order").one()
            AssetManager.register_asset_change(asset=asset, extra=event, session=session)
        return Scheduled(dag)

    placed = {"eventType": "placed", "subject": "EU/7", "data": {"order": 7}}
    done = send(placed)
    assert (done.state, done.xcom("pipeline_end")) == ("success", {"order": 7})
    ignored = send({**placed, "subject": "us/8"})
    assert (ignored.state, set(ignored.states.values())) == ("success", {"skipped"})


def test_what_a_database_names_by_its_old_place_is_found() -> None:
    """Airflow imports triggers by their path, and looks for timetables among the plugins' classes by theirs."""
    from airflow_ml_provider.plugins.timetables import TimetablesPlugin
    from airflow_ml_provider.triggers import blobs

    assert blobs.BlobWatcher is BlobWatcher
    registered = {f"{found.__module__}.{found.__qualname__}": found for found in TimetablesPlugin.timetables}
    for name in ("RecurrenceTimetable", "WindowTimetable"):
        old, new = (registered[f"airflow_ml_provider.{place}.{name}"] for place in ("timetables.adf", "adf.airflow.timetables"))
        assert old.__mro__[1] is new
