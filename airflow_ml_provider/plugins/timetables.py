"""What Airflow must know to read a schedule back from its database."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import Timetable

from airflow_ml_provider.adf.airflow.timetables import RecurrenceTimetable, WindowTimetable

_OLD_PLACE = "airflow_ml_provider.timetables.adf"


def _at_old_place(timetable: type[Timetable]) -> type[Timetable]:
    """The timetable under the name that DAGs serialized by an earlier release have: Airflow looks for the names of registered classes."""
    return type(timetable.__name__, (timetable,), {"__module__": _OLD_PLACE})


class TimetablesPlugin(AirflowPlugin):
    """Registers the timetables of Data Factory's triggers."""

    name = "airflow_ml_provider_timetables"
    timetables = [
        RecurrenceTimetable,
        WindowTimetable,
        _at_old_place(RecurrenceTimetable),
        _at_old_place(WindowTimetable),
    ]
