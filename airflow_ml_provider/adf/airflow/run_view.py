"""One task's view of its pipeline's run: what ended how, with which output, and what expressions mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from functools import cached_property
from typing import Any

from airflow_ml_provider.adf.airflow.journal import JOURNAL, Journal
from airflow_ml_provider.adf.airflow.known_secrets import KnownSecrets, is_sealed, is_secret
from airflow_ml_provider.adf.airflow.run_ids import guid, pipeline_run_id
from airflow_ml_provider.adf.airflow.run_origin import CALLED_BY, started_by
from airflow_ml_provider.adf.airflow.run_state import RECORD, condition_of, fold, opened, record, stamp
from airflow_ml_provider.adf.airflow.secure_values import SEALED, seal, unseal
from airflow_ml_provider.adf.airflow.task_index import Place, Spot
from airflow_ml_provider.adf.airflow.variable_history import History
from airflow_ml_provider.adf.expressions.properties import resolve
from airflow_ml_provider.adf.model import Activity, Condition
from airflow_ml_provider.adf.triggers.reader import Start

RETURN_VALUE = "pipelineReturnValue"
_MENTION = re.compile(r"activity\(\s*'((?:[^']|'')*)'", re.IGNORECASE)
_NOTHING: Any = object()


class View:
    """What an activity sees.

    :param loop: the mapped ForEach around the task, by name.

    ``item``, ``local``, ``jobs`` and ``values`` are of what runs inside this task: the loop's item, records by activity, runs of
    Databricks jobs by activity, task values by activity, the numbers of the rounds of the loops around, the attempt at the
    activity and how many it has, and ``inner``, which runs Spark. ``limits`` are the moments at which the limits of time around end.
    """

    def __init__(self, context: Mapping[str, Any], place: Place, loop: str | None = None) -> None:
        self.context, self.place, self.loop = context, place, loop
        self.ti = context["ti"]
        self.item: Any = _NOTHING
        self.local: dict[str, dict[str, Any]] = {}
        self.history = History(self.ti, self._map_index)
        self.journal = Journal()
        self.limits: list[float] = []
        self.serial = 0
        self.dataset: dict[str, Any] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self.rounds: tuple[int, ...] = ()
        self.attempt = (0, 1)
        self.inner: Any = None
        self._secret_item = False
        self.secrets = KnownSecrets()
        self._reads_secret = False
        self._secure: set[str] = set()
        self._secure_variables: set[str] = set()
        self._records: dict[str, dict[str, Any]] = {}

    def keep(self) -> None:
        """Note what this task knows, before it is deferred."""
        known = {"local": self.local, "jobs": self.jobs, "values": self.values, "serial": self.serial}
        self.ti.xcom_push(key=JOURNAL, value=self.journal.kept(known))

    def go_on(self) -> None:
        """Know again what this task knew when it was deferred."""
        found = self.ti.xcom_pull(task_ids=self.ti.task_id, key=JOURNAL, map_indexes=self._map_index)
        self.journal, known = Journal.opened(found)
        self.local, self.jobs, self.values, self.serial = (known[name] for name in ("local", "jobs", "values", "serial"))
        self.history.restore()

    @property
    def me(self) -> str:
        return f"{self.ti.task_id}[{self._map_index}]"

    @property
    def _map_index(self) -> int:
        return -1 if self.ti.map_index is None else self.ti.map_index

    def statuses(self, names: list[str]) -> dict[str, Condition]:
        """How activities beside this one ended."""
        here = {name: Condition(self.local[name]["status"]) for name in names if name in self.local}
        spots = {name: self.place.ends[name] for name in names if name not in here}
        states = self.states([spot.task_id for spot in spots.values()]) if spots else {}
        return here | {name: condition_of(states.get(self.state_key(spot))) for name, spot in spots.items()}

    def begun(self) -> Condition:
        """How the task before all others ended; Succeeded where there is none."""
        begin = self.place.begin
        return condition_of(self.states([begin.task_id]).get(begin.task_id)) if begin else Condition.SUCCEEDED

    def states(self, task_ids: list[str]) -> dict[str, Any]:
        """Airflow's states by task id; of a mapped task, by ``task_id_index``."""
        ti = self.ti
        found: dict[str, Any] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=task_ids).get(ti.run_id, {})
        return found

    def state_key(self, spot: Spot) -> str:
        return f"{spot.task_id}_{self._map_index}" if spot.mapped else spot.task_id

    def pull(self, spot: Spot, key: str) -> Any:
        return self.ti.xcom_pull(task_ids=spot.task_id, key=key, map_indexes=self._map_index if spot.mapped else -1)

    def record(self, name: str) -> dict[str, Any]:
        """``{"status", "output", "error"}`` of an activity that has ended; empty for one that has not."""
        if name in self.local:
            return self._opened(name, self.local[name])
        if name not in self._records:
            found = self._opened(name, self.pull(self.place.ends[name], RECORD) if name in self.place.ends else None)
            if not found and name in self.place.ends:
                found = self._without_record(name)
            self._records[name] = found
        return self._records[name]

    def _opened(self, name: str, found: Mapping[str, Any] | None) -> dict[str, Any]:
        """A record; what was sealed in it is secret."""
        told = opened(found)
        if found and SEALED in found:
            self._secure.add(name)
            self.secrets.learn([told["output"], told["error"]], mask=False)
        return told

    def _without_record(self, name: str) -> dict[str, Any]:
        """Of an activity that was skipped, or whose worker died before it could tell."""
        states = self.states([self.place.ends[name].task_id])
        state = states.get(self.state_key(self.place.ends[name]))
        if state is None:
            return {}
        status = condition_of(state)
        error = {"message": f"task {state}", "errorCode": "", "failureType": "SystemError"} if status is Condition.FAILED else {}
        return opened(record(status, error=error))

    def current_item(self) -> Any:
        """What ``item()`` is; None outside a loop."""
        if self.item is not _NOTHING or self.loop is None:
            return None if self.item is _NOTHING else self.item
        return self._mapped["item"]

    def page(self) -> list[Any] | None:
        """The items of the page that the task is mapped over; None where it is mapped over one item, or over none."""
        return self._mapped.get("page") if self.loop else None

    @cached_property
    def _mapped(self) -> dict[str, Any]:
        found = self.pull(self.place.enters[self.loop or ""], "return_value")[self._map_index]
        self._secret_item = is_sealed(found)
        return dict(self.secrets.opened(found))

    def variables(self) -> dict[str, Any]:
        events = self._all_events()
        for event in events:
            if SEALED in event:
                self._secure_variables.add(event["name"])
                self.secrets.learn(unseal(event[SEALED]), mask=False)
        return fold(events, {name: one.default for name, one in self.place.pipeline.variables.items()})

    def change(self, name: str, change: Mapping[str, Any], *, secure: bool = False) -> None:
        """Set a variable or append to it; ``change`` has ``value`` or ``append``."""
        told = {SEALED: seal(change)} if secure or self.secrets.are_in(change) else change
        at = stamp(self._all_events())
        if "value" in change:  # whatever this task did to the variable before is over
            self.history.forget(name)
        self.history.add({"at": at, "by": self.me, "name": name, **told})

    def _all_events(self) -> list[dict[str, Any]]:
        return [*self.history.of_others([spot.task_id for spot in self.place.writers]), *self.history.own]

    def resolve(self, value: Any) -> Any:
        """The value of a property: its expressions evaluated, wherever they stand in it."""
        return resolve(value, self.state, self._secret, self._seen)

    def resolve_in(self, value: Any, parameters: Mapping[str, Any]) -> Any:
        """The value of a dataset's property, where ``dataset()`` has these parameters."""
        before, self.dataset = self.dataset, dict(parameters)
        try:
            return self.resolve(value)
        finally:
            self.dataset = before

    def state(self, text: str) -> dict[str, Any]:
        """What an expression may ask for, in the evaluator's form; only what the text mentions is fetched."""
        names = {found.replace("''", "'").casefold() for found in _MENTION.findall(text)}
        known = {*self.place.ends, *self.local}
        parameters, item = self.parameters(), self.current_item() if "item" in text.casefold() else None
        variables = self.variables() if "variables" in text.casefold() else {}
        activities = {name: found for name in known if name.casefold() in names and (found := self.record(name))}
        self._reads_secret = (
            self._names_secret(text) or not self._secure.isdisjoint(activities) or (self._secret_item and item is not None)
        )
        return {
            "parameters": parameters,
            "globalParameters": dict(self.place.factory.global_parameters),
            "variables": variables,
            "item": item,
            "activities": activities,
            "pipeline": self.system(),
            "dataset": self.dataset,
            "trigger": self.trigger(),
        }

    def _names_secret(self, text: str) -> bool:
        """Whether a text names a parameter that is a SecureString, or a variable that was set to a secret."""
        parameters = [name for name, one in self.place.pipeline.parameters.items() if is_secret(one)]
        return any(name.casefold() in text.casefold() for name in [*parameters, *self._secure_variables])

    def _seen(self, value: Any) -> Any:
        """The value of an expression; a secret if the expression reads one."""
        return self.secrets.learn(value, mask=False) if self._reads_secret else value

    def _secret(self, name: str) -> Any:
        return self.secrets.learn(_secret(name))

    def parameters(self) -> dict[str, Any]:
        given = {name: self.secrets.opened(value) for name, value in (self.context.get("params") or {}).items()}
        start, _ = self._started
        if start:
            given |= resolve(dict(start.parameters), {"trigger": self.trigger(), "pipeline": self.system()})
        found = {name: given.get(name, one.default) for name, one in self.place.pipeline.parameters.items()}
        for name, one in self.place.pipeline.parameters.items():
            if is_secret(one):  # its default is in no DAG, so a run that is given none has null there
                found[name] = self.secrets.learn(one.default if found[name] is None else found[name])
        return found

    @property
    def start(self) -> Start | None:
        """The trigger that started the run."""
        return self._started[0]

    @cached_property
    def _started(self) -> tuple[Start | None, Any]:
        return started_by(self.context, self.place)

    def trigger(self) -> dict[str, Any]:
        """What ``trigger()`` is: the time, the window of a run that has one, and the event that started it."""
        run, (_, body) = self.context["dag_run"], self._started
        at = _written(run.run_after)
        ends = {"windowStartTime": run.data_interval_start, "windowEndTime": run.data_interval_end}
        outputs = {name: _written(time) for name, time in ends.items() if time}
        return {"startTime": at, "scheduledTime": at, "outputs": {**outputs, **({"body": body} if body is not None else {})}}

    @property
    def run_id(self) -> str:
        """``pipeline().RunId``."""
        return pipeline_run_id(self.ti.dag_id, self.ti.run_id)

    def activity_run_id(self, activity: Activity) -> str:
        """``activity('…').ActivityRunId`` of the attempt at an activity that runs in this task."""
        attempt = (self.ti.try_number, self._map_index, *self.rounds, *self.attempt)
        return guid("activity", self.ti.dag_id, self.ti.run_id, self.ti.task_id, *attempt, activity.name)

    def caller(self) -> dict[str, str]:
        """The pipeline that started this one: its ``name``, ``run_id`` and ``group_id``; empty without one."""
        return dict((self.context["dag_run"].conf or {}).get(CALLED_BY) or {})

    def system(self) -> dict[str, Any]:
        """The pipeline's system variables."""
        start, caller = self._started[0], self.caller()
        return {
            "DataFactory": self.place.data_factory,
            "Pipeline": self.place.pipeline.name,
            "RunId": self.run_id,
            "TriggerType": start.kind if start else "PipelineActivity" if caller else "Manual",
            "TriggerName": start.trigger if start else "Manual",
            "TriggerId": guid("trigger", self.ti.dag_id, self.ti.run_id),
            "TriggerTime": _written(self.context["dag_run"].run_after),
            "GroupId": caller.get("group_id") or self.run_id,
            "TriggeredByPipelineName": caller.get("name"),
            "TriggeredByPipelineRunId": caller.get("run_id"),
        }


def _secret(name: str) -> Any:
    """The secret of a Key Vault: the Airflow variable of its name."""
    from airflow.sdk import Variable

    return Variable.get(name)


def _written(time: Any) -> str:
    """A time as ADF writes it: UTC, with a Z."""
    return str(time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
