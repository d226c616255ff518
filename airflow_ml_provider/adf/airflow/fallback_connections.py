"""What a connection is until somebody makes it: so that an export runs before there is one."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.core.spec import Mount

log = logging.getLogger(__name__)
StandIns = Mapping[str, Mount | str]


def stand_in(given: StandIns) -> Callable[[Any], None]:
    """What a task calls before it begins: it gives this process every connection of ``given`` that Airflow does not have.

    :param given: by the connection's id, a mount, or the connection as its environment variable would have it: a URI or JSON.
    """

    def before(context: Any) -> None:
        for conn_id, what in given.items():
            _ensure(conn_id, what)

    return before


def _ensure(conn_id: str, what: Mount | str) -> None:
    from airflow.sdk.bases.hook import BaseHook

    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        log.info("There is no connection %s: its stand-in is taken", conn_id)
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = what if isinstance(what, str) else _connection(what)


def _connection(mount: Mount) -> str:
    extra = {"source": mount.source, "read_only": mount.read_only, "fuse": mount.fuse}
    opened = {"credentials_conn_id": mount.conn_id} if mount.conn_id else {}
    return json.dumps({"conn_type": "mount", "extra": {**extra, **opened}})
