"""What Airflow must know to read a schedule back from its database."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from airflow_ml_provider.adf.airflow.timetables import RecurrenceTimetable, WindowTimetable


class TimetablesPlugin(AirflowPlugin):
    """Registers the timetables of Data Factory's triggers."""

    name = "airflow_ml_provider_timetables"
    timetables = [RecurrenceTimetable, WindowTimetable]
