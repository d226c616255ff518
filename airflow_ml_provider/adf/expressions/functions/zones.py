"""Time zones, by their Windows names or by IANA's."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from airflow_ml_provider.adf.errors import EvaluationError
from airflow_ml_provider.adf.expressions.dotnet.dates import Moment
from airflow_ml_provider.core.errors import ConfigurationError

_UTC = frozenset({"utc"})
_MICROSECOND = timedelta(microseconds=1)


def is_utc(name: str) -> bool:
    return name.casefold() in _UTC


@cache
def _windows() -> dict[str, str]:
    """IANA's names by those of Windows, which know no case."""
    try:
        from tzlocal.windows_tz import win_tz
    except ImportError as error:
        raise ConfigurationError("time zones of Data Factory need 'tzlocal': pip install 'airflow-ml-provider[adf]'") from error
    return {name.casefold(): iana for name, iana in win_tz.items()}


def iana(name: str) -> str:
    """IANA's name of a time zone of Windows; any other name as it is."""
    return "UTC" if is_utc(name) else _windows().get(name.casefold(), name)


def zone(name: str, argument: int) -> tzinfo:
    """The zone of that name."""
    try:
        return ZoneInfo(iana(name))
    except (ValueError, OSError) as error:
        raise _unknown(name, argument) from error
    except KeyError as error:
        raise _unknown(name, argument) from error


def _unknown(name: str, argument: int) -> EvaluationError:
    return EvaluationError(f"argument {argument}: got the time zone {name!r}: takes a name of Windows or of IANA")


def to_utc(moment: Moment, name: str, argument: int) -> Moment:
    """A moment without a zone, taken as the local time of one; of a time that it has twice, the one in standard time, as .NET does."""
    there, wall = zone(name, argument), moment.wall()
    early, late = (there.utcoffset(wall.replace(tzinfo=there, fold=fold)) for fold in (0, 1))
    if early is None or late is None or early < late:
        raise EvaluationError(f"argument 1: got {wall.isoformat()}, which {name!r} does not have")
    return Moment(_shifted(moment, -late).ticks, "Z")


def from_utc(moment: Moment, name: str, argument: int) -> Moment:
    """The local time of a zone, without its zone; UTC keeps it."""
    there = zone(name, argument)
    if is_utc(name):
        return Moment(moment.ticks, "Z")
    return Moment(_shifted(moment, _offset(moment.wall(), there)).ticks)


def _offset(wall: datetime, there: tzinfo) -> timedelta:
    """Between UTC and the zone, at a time in UTC."""
    try:
        return there.fromutc(wall.replace(tzinfo=there)).replace(tzinfo=None) - wall
    except OverflowError:
        return timedelta(0)


def _shifted(moment: Moment, by: timedelta) -> Moment:
    try:
        return moment.plus(by // _MICROSECOND * 10)
    except OverflowError as error:
        raise EvaluationError(str(error)) from error
