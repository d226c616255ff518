"""What a policy's ``secureInput`` and ``secureOutput`` ask for: values that no log and no XCom shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_ml_provider.adf.model import Activity
from airflow_ml_provider.hooks.callbacks import fernet

SEALED = "sealed"


def is_secure(activity: Activity) -> bool:
    """Whether what an activity is given, or gives, is a secret."""
    return bool(activity.policy.secure_input or activity.policy.secure_output)


def told_of(activity: Activity) -> str:
    """What a log may say of a secure activity's error."""
    return f"activity {activity.name!r} failed; its error is in activity({activity.name!r}).error alone, as its policy is secure"


def hide(value: Any) -> None:
    """Have Airflow mask every text of a value in this task's logs."""
    from airflow.sdk.log import mask_secret

    for text in filter(None, _texts(value)):
        mask_secret(text)


def seal(value: Any) -> str:
    """A value that only who has Airflow's Fernet key reads; :class:`ConfigurationError` where there is none."""
    return str(fernet().encrypt(json.dumps(value, default=str).encode()).decode())


def unseal(text: str) -> dict[str, Any]:
    """What was sealed."""
    found: dict[str, Any] = json.loads(fernet().decrypt(text.encode()))
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        yield from _parts(value) if "://" in value else ()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _parts(url: str) -> Iterator[str]:
    """What errors of HTTP clients show of an address, and what is secret in it."""
    found = urlsplit(url)
    yield from (f"{found.path}?{found.query}", found.query, found.password or "")
    yield from (secret for _, secret in parse_qsl(found.query))
