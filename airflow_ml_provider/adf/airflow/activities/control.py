"""What an activity's action is given, and the actions that need nothing outside Airflow."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeVar

from airflow_ml_provider.adf.airflow.journal import Pausing, Waiting
from airflow_ml_provider.adf.airflow.known_secrets import is_secret
from airflow_ml_provider.adf.airflow.run_ids import pipeline_run_id
from airflow_ml_provider.adf.airflow.run_origin import CALLED_BY
from airflow_ml_provider.adf.airflow.run_view import RETURN_VALUE, View
from airflow_ml_provider.adf.airflow.secure_values import hide, is_secure
from airflow_ml_provider.adf.airflow.time_limits import TimedOut, limit
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import Activity, Pipeline
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError

_PART = "\n"
"""Between an activity and what it notes, in the keys of a journal: no name has it."""
_BRIEFLY = 5.0
"""Seconds of a pause that is shorter than it takes to leave a worker and come back to one."""
T = TypeVar("T")
_LONGEST_ID = 250
_RESERVED = ("scheduled__", "backfill__", "asset_triggered__", "asset_materialization__")
_ENDED = ("success", "failed")


class ActivityFailed(ProviderError):
    """The activity's own verdict.

    :param code: ``activity('…').error.errorCode``.
    :param output: what a failed activity has as its output.
    """

    def __init__(self, message: str, code: str = "", output: Mapping[str, Any] | None = None) -> None:
        self.code, self.output = code, dict(output or {})
        super().__init__(message)


@dataclass(frozen=True)
class Call:
    """One activity that is to run; its properties get their values when they are asked for."""

    view: View
    activity: Activity
    log: Any

    def __call__(self, name: str, default: Any = None) -> Any:
        """The value of a type property, ``default`` when it is missing."""
        raw = pick(self.activity.type_properties, name)
        return default if raw is None else self.resolve(raw)

    def resolve(self, raw: Any) -> Any:
        """The value of a part of a property; that of a secure input is masked in the logs from now on."""
        found = self.view.resolve(raw)
        if self.activity.policy.secure_input:
            hide(found)
        return found

    def required(self, name: str) -> Any:
        """The value of a type property; :class:`SpecError` when it is missing."""
        found = self(name)
        if found is None:
            raise SpecError(f"activity {self.activity.name!r}: {name}: is required")
        return found

    def number(self, name: str, default: float | None = None) -> float:
        found = self.required(name) if default is None else self(name, default)
        try:
            return float(found)
        except (TypeError, ValueError):
            raise SpecError(f"activity {self.activity.name!r}: {name}: got {found!r}: takes a number") from None

    def of(self, activity: Activity) -> Call:
        return replace(self, activity=activity)

    @property
    def key(self) -> str:
        """Of this activity in these rounds of the loops around, in the task's journal."""
        return f"{'.'.join(map(str, self.view.rounds))}/{self.activity.name}"

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What ``make`` gave when the activity came here first, however often the task was deferred since."""
        return self.view.journal.once(f"{self.key}{_PART}{what}", make)

    def note(self, what: str, value: Any) -> None:
        """Change what :meth:`once` gives."""
        self.view.journal.notes[f"{self.key}{_PART}{what}"] = value

    def forget(self, what: str) -> None:
        self.view.journal.forget(f"{self.key}{_PART}{what}")

    def pause(self, until: float) -> None:
        """Return at a moment, in seconds since the epoch; a pause that is not short defers the task."""
        now = time.time()
        if min([until, *self.view.limits]) - now > _BRIEFLY:
            self.wait_for(Waiting(until))
        time.sleep(max(until - now, 0.0))

    def wait_for(self, waiting: Waiting) -> NoReturn:
        """Defer the task; this call of the action ends here, and another one begins when it goes on."""
        moments = [one for one in (waiting.until, *self.view.limits) if one is not None]
        raise Pausing(replace(waiting, until=min(moments, default=None)))


Action = Callable[[Call], Any]


def limited(call: Call, seconds: float, act: Callable[[], Any], more: str = "") -> Any:
    """What ``act`` gives within some seconds, those included for which the task was deferred.

    :raises ActivityFailed: it takes longer.
    """
    name = f"limit {call.view.attempt[0]}"
    end, limits = call.once(name, lambda: time.time() + seconds), call.view.limits
    limits.append(end)
    try:
        with time_limit(seconds, f"activity {call.activity.name!r}", more, left=end - time.time()):
            found = act()
    finally:
        limits.pop()
    return found


@contextmanager
def time_limit(seconds: float, what: str, more: str = "", left: float | None = None) -> Iterator[None]:
    """Raise :class:`ActivityFailed` in the block after so many seconds, or after those that are left of them."""
    try:
        with limit(seconds, left) as mine:
            yield
    except TimedOut as error:
        if error.limit is not mine:
            raise
        raise ActivityFailed(f"{what}: {error}{more}", "2110") from None


def wait(call: Call) -> Any:
    call.pause(call.once("until", lambda: time.time() + call.number("waitTimeInSeconds")))
    return {}


def fail(call: Call) -> Any:
    message, code = str(call.required("message")), str(call("errorCode", ""))
    raise ActivityFailed(message, code, {"message": message, "errorCode": code})


def set_variable(call: Call) -> Any:
    """Set a variable, or what the pipeline returns."""
    name, value = str(call.required("variableName")), pick(call.activity.type_properties, "value")
    if name.casefold() == RETURN_VALUE.casefold():
        returned = {str(pick(one, "key")): _returned(call, pick(one, "value")) for one in value or ()}
        call.view.change(RETURN_VALUE, {"value": returned}, secure=is_secure(call.activity))
        return {"name": name, "value": returned}
    return _change(call, name, "value", call.resolve(value))


def append_variable(call: Call) -> Any:
    return _change(call, str(call.required("variableName")), "append", call("value"))


def _change(call: Call, name: str, how: str, value: Any) -> dict[str, Any]:
    declared = call.view.place.pipeline.variables
    known = next((one for one in declared if one.casefold() == name.casefold()), None)
    if known is None:
        raise SpecError(f"activity {call.activity.name!r}: variableName: got {name!r}: takes {', '.join(declared) or 'none'}")
    if how == "append" and declared[known].type.casefold() != "array":
        raise SpecError(f"activity {call.activity.name!r}: variable {known!r} is a {declared[known].type}: takes an Array")
    call.view.change(known, {how: value}, secure=is_secure(call.activity))
    return {"name": known, "value": value}


def _returned(call: Call, raw: Any) -> Any:
    """A value of a pipeline's return value: ``{"type": …, "content": …}``, the contents of arrays and objects likewise."""
    if not isinstance(raw, Mapping) or pick(raw, "type") is None:
        return call.view.resolve(raw)
    content, kind = pick(raw, "content"), str(pick(raw, "type")).casefold()
    if kind == "expression":
        return call.view.resolve({"type": "Expression", "value": content})
    if kind == "array" and isinstance(content, list):
        return [_returned(call, one) for one in content]
    if kind == "object" and isinstance(content, list):
        return {str(pick(one, "key")): _returned(call, pick(one, "value")) for one in content}
    return None if kind == "null" else call.view.resolve(content)


def keep(call: Call) -> Any:
    """Filter: the items for which the condition holds."""
    items = items_of(call)
    condition = pick(call.activity.type_properties, "condition")
    found = []
    before = call.view.item
    try:
        for call.view.item in items:
            if truth(call, "condition", call.view.resolve(condition)):
                found.append(call.view.item)
    finally:
        call.view.item = before
    return {"ItemsCount": len(items), "FilteredItemsCount": len(found), "Value": found}


def items_of(call: Call) -> list[Any]:
    """The value of ``items``; :class:`SpecError` when it is no list."""
    items = call.required("items")
    if not isinstance(items, list):
        raise SpecError(f"activity {call.activity.name!r}: items: got {type(items).__name__}: takes a list")
    return items


def truth(call: Call, name: str, value: Any) -> bool:
    """A condition's value; :class:`SpecError` when it is neither true nor false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        return value.casefold() == "true"
    raise SpecError(f"activity {call.activity.name!r}: {name}: got {value!r}: takes a boolean")


def execute_pipeline(call: Call) -> Any:
    """Start the DAG of another pipeline, and wait for its end where ``waitOnCompletion`` says so; without it, as the SDK documents, not."""
    view = call.view
    name = str(pick(call.required("pipeline"), "referenceName"))
    dag_id, called = view.place.dag_id_of(name), view.place.pipeline_of(name)
    if dag_id is None or called is None:
        raise ConfigurationError(
            f"activity {call.activity.name!r}: pipeline {name!r} is no DAG: put its export into the same folder"
        )
    run_id = call.once("run_id", lambda: called_run_id(view))
    waits = truth(call, "waitOnCompletion", call("waitOnCompletion", False))
    if not call.once("started", lambda: False):
        _start(call, dag_id, called, run_id, waits=waits)
        call.note("started", True)
    output = {"pipelineRunId": pipeline_run_id(dag_id, run_id), "pipelineName": called.name, "dagRunId": run_id}
    if not waits:
        return output
    return {**output, "pipelineReturnValue": _outcome(call, dag_id, run_id)}


def _start(call: Call, dag_id: str, called: Pipeline, run_id: str, *, waits: bool) -> None:
    view = call.view
    if is_paused(dag_id):
        told = f"DAG {dag_id!r} of pipeline {called.name!r} is paused, so its run would not begin: unpause it"
        if waits:
            raise ConfigurationError(f"activity {call.activity.name!r}: {told}")
        call.log.warning("%s", told)
    system = view.system()
    by = {"name": system["Pipeline"], "run_id": system["RunId"], "group_id": system["GroupId"]}
    given = {name: view.secrets.sealed(value) for name, value in arguments_of(called, call("parameters", {})).items()}
    for name, one in called.parameters.items():
        if is_secret(one):
            given[name] = view.secrets.sealed(view.secrets.learn(given[name]))
    start_run(dag_id, run_id, {**given, CALLED_BY: by})


def arguments_of(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each parameter of a pipeline: the one that is given, whatever the case of its name, its default, or null."""
    by_name = {name.casefold(): value for name, value in given.items()}
    return {name: by_name.get(name.casefold(), one.default) for name, one in pipeline.parameters.items()}


def called_run_id(view: View) -> str:
    """The id of the next run that a task starts: of characters that Airflow takes, and no longer than it takes."""
    found = run_id_after(view.ti.run_id, f"{view.ti.task_id}.{view.ti.map_index}.{view.ti.try_number}.{view.serial}")
    view.serial += 1
    return found


def run_id_after(run_id: str, what: str) -> str:
    """The id of a run that another run starts, no longer than Airflow takes."""
    # before 3.3, Airflow keeps these beginnings for the runs that it makes itself
    found = f"{'from_' if run_id.startswith(_RESERVED) else ''}{run_id}__{what}"
    return found if len(found) <= _LONGEST_ID else f"{found[:150]}__{hashlib.sha256(found.encode()).hexdigest()[:32]}"


def start_run(dag_id: str, run_id: str, conf: dict[str, Any], *, again: bool = False) -> None:
    """Start a run of a DAG, unless there is one of that id.

    :param again: if there is one, clear all of it, so that it runs again.
    :raises ProviderError: Airflow does not.
    """
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    answer = SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf, reset_dag_run=again))
    if isinstance(answer, ErrorResponse) and "exists" not in str(answer.error).lower():
        raise ProviderError(f"run {run_id!r} of DAG {dag_id!r} was not started: {answer.error}")


def is_paused(dag_id: str) -> bool:
    """Whether a DAG is paused; False before Airflow 3.2, which does not tell."""
    try:
        from airflow.sdk.execution_time.comms import GetDag
    except ImportError:
        return False
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    return bool(getattr(SUPERVISOR_COMMS.send(GetDag(dag_id=dag_id)), "is_paused", False))


def _outcome(call: Call, dag_id: str, run_id: str) -> Any:
    """Wait for a run's end, and return what its pipeline returns."""
    view = call.view
    if (state := view.ti.get_dagrun_state(dag_id, run_id)) not in _ENDED:
        told = "Waiting for run %s of DAG %s, which is %s: a run stays queued while its DAG is paused or at its max_active_runs"
        call.log.info(told, run_id, dag_id, state)
        call.wait_for(Waiting(run=(dag_id, run_id)))
    if state == "failed":
        raise ActivityFailed(f"run {run_id!r} of DAG {dag_id!r} failed", "2108")
    returned = view.ti.xcom_pull(dag_id=dag_id, run_id=run_id, task_ids="pipeline_end", map_indexes=-1)
    return view.secrets.opened(returned) or {}


CONTROL: dict[str, Action] = {
    "wait": wait,
    "fail": fail,
    "setvariable": set_variable,
    "appendvariable": append_variable,
    "filter": keep,
    "executepipeline": execute_pipeline,
}
