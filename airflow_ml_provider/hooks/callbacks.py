"""Addresses of Airflow's web server that a stranger may call once, to tell a running task something."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from airflow_ml_provider._compat import conf
from airflow_ml_provider.core.errors import ConfigurationError

PAGES = "/airflow-ml/callbacks"
SECTION, OPTION = "airflow_ml_provider", "callbacks"


def are_on() -> bool:
    """Whether this Airflow serves them: ``[airflow_ml_provider] callbacks``, off by default."""
    return bool(conf.getboolean(SECTION, OPTION, fallback=False))


@dataclass(frozen=True)
class Ticket:
    """Who waits for a call, and the XCom of that task which it becomes."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    key: str

    @classmethod
    def of(cls, ti: Any) -> Ticket:
        """A new one for a running task."""
        index = -1 if ti.map_index is None else ti.map_index
        return cls(ti.dag_id, ti.run_id, ti.task_id, index, f"adf_callback_{uuid.uuid4().hex}")

    def address(self) -> str:
        """Where to call: below ``[api] base_url``, by a name that only who has Airflow's Fernet key can make.

        :raises ConfigurationError: callbacks are off, or there is no such key, or no address.
        """
        if not are_on():
            raise ConfigurationError(
                f"[{SECTION}] {OPTION}: is off, and a WebHook is called back at a route that asks for no login: set "
                f"AIRFLOW__{SECTION.upper()}__{OPTION.upper()}=True for the API server and the workers, then restart them"
            )
        base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
        if not base.startswith("http"):
            raise ConfigurationError(f"[api] base_url: got {base!r}: takes the address at which the web server is called back")
        return f"{base}{PAGES}/{fernet().encrypt(json.dumps(asdict(self)).encode()).decode()}"


def read_ticket(text: str, *, seconds: int) -> Ticket | None:
    """The ticket in an address; None for what is none, or is older."""
    from cryptography.fernet import InvalidToken

    try:
        return Ticket(**json.loads(fernet().decrypt(text.encode(), ttl=seconds)))
    except (InvalidToken, TypeError, ValueError):
        return None


def sealed(document: str) -> str:
    """What was told, as JSON, and as it lies in the XCom."""
    return str(fernet().encrypt(document.encode()).decode())


def opened(found: str) -> Any:
    """What was told, from the XCom; with the quotes around it that Airflow's web server puts there and its tasks do not take off."""
    return json.loads(fernet().decrypt(found.strip('"').encode()))


def fernet() -> Any:
    """Airflow's own; :class:`ConfigurationError` where it has no key."""
    from airflow.models.crypto import get_fernet

    found = get_fernet()
    if not found.is_encrypted:
        raise ConfigurationError("[core] fernet_key: is empty: takes a Fernet key, which seals what must not be read or forged")
    return found
