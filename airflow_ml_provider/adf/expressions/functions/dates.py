"""Date functions. A date is a string; what has no zone keeps having none."""

from __future__ import annotations

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet import dates, formats
from airflow_ml_provider.adf.expressions.dotnet.dates import DAY, SECOND, Moment
from airflow_ml_provider.adf.expressions.functions import zones
from airflow_ml_provider.adf.expressions.functions.signature import Table

FUNCTIONS = Table()
_UNITS = {"second": SECOND, "minute": 60 * SECOND, "hour": 3600 * SECOND, "day": DAY, "week": 7 * DAY}
_MONTHS = {"month": 1, "year": 12}


def read(text: str) -> Moment:
    try:
        return dates.read(text)
    except (ValueError, OverflowError, IndexError, TypeError) as error:
        raise EvaluationError(f"argument 1: got {text[:80]!r}: takes a date and time of ISO 8601") from error


def write(moment: Moment, form: str = "o") -> str:
    try:
        return formats.write(moment, form)
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def _moved(moment: Moment, count: int, unit: str) -> Moment:
    try:
        if unit.casefold() in _MONTHS:
            return moment.plus_months(count * _MONTHS[unit.casefold()])
        return moment.plus(count * _UNITS[unit.casefold()])
    except KeyError as error:
        raise EvaluationError(f"got the time unit {unit!r}: takes {', '.join([*_UNITS, *_MONTHS])}") from error
    except OverflowError as error:
        raise EvaluationError(str(error)) from error


@FUNCTIONS.add("addDays", "text", "integer", "text?")
def add_days(text: str, count: int, form: str = "o") -> str:
    return write(_moved(read(text), count, "day"), form)


@FUNCTIONS.add("addHours", "text", "integer", "text?")
def add_hours(text: str, count: int, form: str = "o") -> str:
    return write(_moved(read(text), count, "hour"), form)


@FUNCTIONS.add("addMinutes", "text", "integer", "text?")
def add_minutes(text: str, count: int, form: str = "o") -> str:
    return write(_moved(read(text), count, "minute"), form)


@FUNCTIONS.add("addSeconds", "text", "integer", "text?")
def add_seconds(text: str, count: int, form: str = "o") -> str:
    return write(_moved(read(text), count, "second"), form)


@FUNCTIONS.add("addToTime", "text", "integer", "text", "text?")
def add_to_time(text: str, count: int, unit: str, form: str = "o") -> str:
    return write(_moved(read(text), count, unit), form)


@FUNCTIONS.add("subtractFromTime", "text", "integer", "text", "text?")
def subtract_from_time(text: str, count: int, unit: str, form: str = "o") -> str:
    return write(_moved(read(text), -count, unit), form)


@FUNCTIONS.add("getFutureTime", "integer", "text", "text?")
def get_future_time(count: int, unit: str, form: str = "o") -> str:
    return write(_moved(dates.now(), count, unit), form)


@FUNCTIONS.add("getPastTime", "integer", "text", "text?")
def get_past_time(count: int, unit: str, form: str = "o") -> str:
    return write(_moved(dates.now(), -count, unit), form)


@FUNCTIONS.add("utcNow", "text?")
def utc_now(form: str = "o") -> str:
    return write(dates.now(), form)


@FUNCTIONS.add("formatDateTime", "text", "text?", "text?")
def format_date_time(text: str, form: str = "o", _culture: str = "") -> str:
    """The culture changes nothing: the evaluator has the invariant one alone."""
    return write(read(text), form)


@FUNCTIONS.add("startOfDay", "text", "text?")
def start_of_day(text: str, form: str = "o") -> str:
    moment = read(text)
    return write(moment.plus(-(moment.ticks % DAY)), form)


@FUNCTIONS.add("startOfHour", "text", "text?")
def start_of_hour(text: str, form: str = "o") -> str:
    moment = read(text)
    return write(moment.plus(-(moment.ticks % (3600 * SECOND))), form)


@FUNCTIONS.add("startOfMonth", "text", "text?")
def start_of_month(text: str, form: str = "o") -> str:
    moment = read(text)
    return write(moment.plus(-(moment.ticks % DAY) - (moment.day.day - 1) * DAY), form)


@FUNCTIONS.add("dayOfMonth", "text")
def day_of_month(text: str) -> int:
    return read(text).day.day


@FUNCTIONS.add("dayOfWeek", "text")
def day_of_week(text: str) -> int:
    """0 for Sunday."""
    return read(text).day.isoweekday() % 7


@FUNCTIONS.add("dayOfYear", "text")
def day_of_year(text: str) -> int:
    return read(text).day.timetuple().tm_yday


@FUNCTIONS.add("ticks", "text")
def ticks(text: str) -> int:
    return read(text).ticks


@FUNCTIONS.add("convertFromUtc", "text", "text", "text?")
def convert_from_utc(text: str, target: str, form: str = "o") -> str:
    moment = read(text)
    if moment.kind != "Z":
        raise EvaluationError(f"argument 1: got {text!r}: takes a time in UTC, which ends in Z")
    return write(zones.from_utc(moment, target, 2), form)


@FUNCTIONS.add("convertToUtc", "text", "text", "text?")
def convert_to_utc(text: str, source: str, form: str = "o") -> str:
    moment = read(text)
    if moment.kind and not (moment.kind == "Z" and zones.is_utc(source)):
        raise EvaluationError(f"argument 1: got {text!r}: takes a time without a zone, in the zone {source!r}")
    return write(moment if moment.kind else zones.to_utc(moment, source, 2), form)


@FUNCTIONS.add("convertTimeZone", "text", "text", "text", "text?")
def convert_time_zone(text: str, source: str, target: str, form: str = "o") -> str:
    """A time that is written with its zone is not taken as the source's."""
    moment = read(text)
    zones.zone(source, 2)
    utc = moment if moment.kind else zones.to_utc(moment, source, 2)
    return write(zones.from_utc(utc, target, 3), form)
