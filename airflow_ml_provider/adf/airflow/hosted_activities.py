"""Activities that other operators run: which, and how an operator of the user's takes an activity's place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_ml_provider.adf.model import Activity, Factory


@dataclass(frozen=True)
class Hosted:
    """What a factory of tasks is given.

    :param properties: the XCom of the activity's type properties, evaluated: give it to a templated field.
    :param fields: ``retries``, ``retry_delay`` and ``execution_timeout`` of the activity's policy, in a ForEach ``max_active_tis_per_dagrun``
        too, for the operator that does the work.
    """

    activity: Activity
    factory: Factory
    properties: Any
    fields: dict[str, Any]


TaskFactory = Callable[[Hosted], Any]
"""Makes the tasks of one activity, and returns the one whose XCom is the activity's output."""

REGISTERED: dict[str, TaskFactory] = {}


def register(activity_type: str, factory: TaskFactory) -> None:
    """Have the activities of a type run by tasks of your own.

    ::

        register("ExecuteDataFlow", lambda hosted: MyOperator(task_id="run", properties=hosted.properties, **hosted.fields))

    Call it in the DAG file, before ``adf_dags``. The tasks run only when the activity does.
    """
    REGISTERED[activity_type.casefold()] = factory
