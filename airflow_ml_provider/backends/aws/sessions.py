"""Spark Connect sessions of Amazon's services: one a cluster, started when it is first asked for, and again when it has ended.

Sources: the services' models, their guides' pages on interactive sessions (an endpoint is an HTTPS address, reached at port 443),
and Amazon's own clients (the headers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_ml_provider.backends.aws.jobs import read_cluster
from airflow_ml_provider.backends.aws.storage import Store
from airflow_ml_provider.core.errors import ConfigurationError, ServiceError
from airflow_ml_provider.core.staging import Place

NAME = "airflow-ml-provider"
STARTING = frozenset({"SUBMITTED", "STARTING"})
READY = frozenset({"STARTED", "IDLE", "BUSY"})
ENDED = frozenset({"TERMINATING", "TERMINATED", "FAILED"})
AUTH_HEADER = "x-aws-proxy-auth"
_FAILURES = 3
"""Sessions of a cluster that may fail until nobody starts another one."""
_PORT = 443


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its service lists it.

    :param told: why it is in this state.
    """

    id: str
    state: str
    created_at: datetime
    told: str = ""


def current(cluster: str, sessions: Sequence[Session]) -> Session | None:
    """The session that lives; None when there is none and another one may be started.

    :raises ServiceError: too many have failed.
    """
    live = [session for session in sessions if session.state not in ENDED]
    failed = [session for session in sessions if session.state == "FAILED"]
    if not live and len(failed) >= _FAILURES:
        raise ServiceError(f"cluster {cluster}: {len(failed)} of its Spark Connect sessions have failed: {newest(failed).told}")
    return newest(live) if live else None


def newest(sessions: Sequence[Session]) -> Session:
    """The one that was made last."""
    return max(sessions, key=lambda session: session.created_at)


def token_of_next(token: str, sessions: Sequence[Session]) -> str:
    """The client token of the session that follows these: whoever asks for it meanwhile gets the same session.

    :param token: the cluster's.
    """
    return f"{token}-{newest(sessions).id if sessions else 'first'}"


def target(endpoint: str) -> str:
    """Where a client connects."""
    parts = urlsplit(endpoint)
    return f"{parts.hostname}:{parts.port or _PORT}"


def made_of(store: Store, folder: Place) -> tuple[int | None, dict[str, str]]:
    """The minutes without a client that a session may live, and Spark's properties beside the cluster's own: libraries, mounts' classes.

    :param folder: the cluster's.
    :raises ConfigurationError: a session cannot have what the cluster has.
    """
    described = read_cluster(store, folder)
    if store.read(folder / "secrets.json") is not None:
        raise ConfigurationError(
            "warm: a mount of the cluster is opened by a connection with secrets, and what a session is started with is no "
            "secret: leave out its conn_id, so that the cluster's own role opens it, or leave out warm"
        )
    jars = [*described["jars"], *_classes(store, described)]
    packages = {f"packages{place}": uri for place, uri in enumerate(described["archives"])}
    found = {
        "spark.jars": ",".join(jars),
        "spark.archives": ",".join(f"{uri}#{name}" for name, uri in packages.items()),
        # Python workers of a session have a folder of their own, in that of their executor.
        "spark.executorEnv.PYTHONPATH": ":".join([*packages, *(f"../{name}" for name in packages)]),
    }
    return described["idle_minutes"], {key: value for key, value in found.items() if value}


def _classes(store: Store, described: Mapping[str, Any]) -> list[str]:
    if not described["classes"]:
        return []
    if store.read(Place.parse(described["compiled"], "s3", "s3a")) is None:
        raise ConfigurationError(
            "warm: the cluster has mounts, and the classes that these need are compiled by its first job: run one without warm before"
        )
    return [described["compiled"]]
