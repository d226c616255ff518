"""Moves an alias to a version, unless somebody else has moved it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_ml_provider.core.errors import ProviderError
from airflow_ml_provider.models.gate import CHAMPION, alias_version

if TYPE_CHECKING:
    from mlflow import MlflowClient


class AliasMoved(ProviderError):
    """The alias points at another version than the gate saw: judge again."""


def promote(client: MlflowClient, name: str, version: str, *, expected: str | None, alias: str = CHAMPION) -> bool:
    """Point the alias at the version; False when it does already.

    MLflow has no conditional write: the check and the move are two calls, and the answer is read back.

    :param expected: the version that the alias must point at before; None for none.
    :raises AliasMoved: it points elsewhere.
    """
    current = alias_version(client, name, alias)
    if current == version:
        return False
    if current != expected:
        raise AliasMoved(_moved(name, alias, expected, current))
    client.set_registered_model_alias(name, alias, version)
    after = alias_version(client, name, alias)
    if after != version:
        raise AliasMoved(_moved(name, alias, version, after))
    return True


def _moved(name: str, alias: str, expected: str | None, found: str | None) -> str:
    return (
        f"{name}@{alias} points at {_version(found)} and not at {_version(expected)}, as the gate saw it: "
        "somebody moved it meanwhile. Clear the gate's task to judge again"
    )


def _version(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
