"""What the operators share: checks of constant fields, errors that no retry mends, calls that insist."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay

from airflow_ml_provider._compat import AirflowFailException
from airflow_ml_provider.core.errors import ConfigurationError, SpecError, Unavailable
from airflow_ml_provider.core.fields import no_such_field
from airflow_ml_provider.core.polling import backoff
from airflow_ml_provider.core.spec import Spec

T = TypeVar("T")
_TEMPLATE_MARKS = ("{{", "{%", "{#")
INSIST_FOR = 600.0
"""Seconds for which a task repeats a call after passing faults: longer than a claim on work that may have been lost, some minutes."""
BRIEFLY = 10.0
"""The same for a task that is being killed: Airflow ends its process soon."""


class _Unset:
    """Says that a field was not given, where None means something."""

    def __repr__(self) -> str:
        return "UNSET"

    def __deepcopy__(self, memo: Any) -> _Unset:
        return self


UNSET: Any = _Unset()


def plain(value: Any) -> Any:
    """A spec, or specs in a list, as the mapping that it was made from, so that Airflow renders the templates in it."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Spec):
        return {"kind": value.kind, **value.model_dump(exclude_unset=True)} if hasattr(value, "kind") else _dump(value)
    return value


def _dump(value: Spec) -> dict[str, Any]:
    return value.model_dump(exclude_unset=True)


def is_constant(value: Any) -> bool:
    """True when a value is known while the DAG is parsed: no template in it and nothing that comes from another task."""
    if isinstance(value, str):
        return not any(mark in value for mark in _TEMPLATE_MARKS)
    if isinstance(value, Mapping):
        return all(is_constant(item) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple)):
        return all(is_constant(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, timedelta))


def check_constants(spec: type[Spec], fields: Mapping[str, Any], **stand_in: Any) -> None:
    """Raise :class:`SpecError` for a wrong field that is already known, so that the DAG does not parse.

    :param stand_in: values for required fields that are not known yet.
    """
    spec(**{**stand_in, **{name: value for name, value in fields.items() if is_constant(value)}})


def refuse_unknown(operator: type, given: Collection[str]) -> None:
    """Raise :class:`SpecError` for an argument that neither the operator nor Airflow knows, with the name that was probably meant."""
    known = {name for kind in operator.__mro__ for name in _arguments(kind)}
    if problems := [no_such_field(f"{operator.__name__}.{name}", name, sorted(known)) for name in given if name not in known]:
        raise SpecError(*problems)


@cache
def _arguments(kind: type) -> tuple[str, ...]:
    """The names that a class's own constructor takes."""
    own = vars(kind).get("__init__")
    return tuple(name for name in inspect.signature(own).parameters if name not in ("self", "kwargs")) if own else ()


@contextmanager
def final_errors() -> Iterator[None]:
    """Turn errors that only a change by the user mends into Airflow's error that is not retried."""
    try:
        yield
    except (SpecError, ConfigurationError) as error:
        raise AirflowFailException(str(error)) from error


def insist(call: Callable[[], T], *, log: Any, within: float = INSIST_FOR) -> T:
    """Make a call that is safe to repeat, and repeat it after each passing fault.

    :param within: seconds until the last repeat; 0 makes the call once.
    :raises Unavailable: the last repeat met a passing fault too.
    """

    def pause(state: RetryCallState) -> float:
        return min(backoff(1.0, state.attempt_number), max(within - (state.seconds_since_start or 0.0), 0.0))

    def tell(state: RetryCallState) -> None:
        fault = state.outcome.exception() if state.outcome else None
        log.warning("The service is unavailable (%s): asking again in %.1f s", fault, state.upcoming_sleep)

    retry = retry_if_exception_type(Unavailable)
    return Retrying(retry=retry, stop=stop_after_delay(within), wait=pause, before_sleep=tell, reraise=True)(call)
