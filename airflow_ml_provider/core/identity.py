"""Who asks for a piece of work, so that every attempt at it finds the same one.

A token never holds the try number: a worker that died is followed by another try, which must find the job of the first. It
holds Airflow's ``max_tries`` instead, which a retry leaves alone and a user's Clear moves, and a generation, which a retry
raises for each attempt that failed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work: a task of a DAG run, up to the user's next Clear.

    :param run_after: tells a run from a deleted one that had the same id.
    :param epoch: Airflow's ``max_tries``, which each Clear moves.
    :param prior_tries: how many tries of this epoch came before.
    """

    dag_id: str
    run_id: str
    run_after: str
    task_id: str
    map_index: int
    epoch: int
    prior_tries: int = 0

    def token(self, generation: int = 0) -> str:
        """The identity of one attempt that reached the service: 24 hexadecimal digits."""
        who = [*astuple(self)[:-1], generation]
        return hashlib.sha256(json.dumps(who).encode()).hexdigest()[:24]


def prior_tries(*, try_number: int, max_tries: int, retries: int) -> int:
    """The tries before this one since the task was last cleared (which sets Airflow's ``max_tries`` to tries + retries)."""
    return min(max(try_number - 1 - (max_tries - retries), 0), try_number - 1)
