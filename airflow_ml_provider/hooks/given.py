"""What Airflow's API server gives: connections and variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_ml_provider._compat import AirflowRuntimeError
from airflow_ml_provider.core.errors import Unavailable


@contextmanager
def given(what: str) -> Iterator[None]:
    """Ask Airflow for something.

    :param what: names it.
    :raises Unavailable: Airflow's API server does not answer, such as while it restarts.
    """
    try:
        yield
    except AirflowRuntimeError as error:
        raise Unavailable(f"{what}: Airflow's API server does not give it: {error}") from error
