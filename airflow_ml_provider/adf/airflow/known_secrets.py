"""The secrets that a task has read, so that what holds one is sealed before it lies in Airflow's database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_ml_provider.adf.airflow.secure_values import SEALED, hide, seal, unseal
from airflow_ml_provider.adf.expressions.properties import texts
from airflow_ml_provider.adf.model import Parameter

SECRET = "adf_secret"
"""The only key of what stands for a value that holds a secret, in an XCom and in a run's configuration."""
_SHORTEST = 5  # a shorter text is too common to be looked for within others


class KnownSecrets:
    """Texts that are secret: of Key Vaults, of parameters of the type SecureString, of sealed outputs, and what expressions make of these."""

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def learn(self, value: Any, *, mask: bool = True) -> Any:
        """Take the texts of a value for secrets, and return the value.

        :param mask: have Airflow mask them in the task's log too.
        """
        if mask:
            hide(value)
        self._texts.update(filter(None, texts(value)))
        return value

    def are_in(self, value: Any) -> bool:
        """Whether a text of a value is a secret or holds one."""
        return bool(self._texts) and any(text in self._texts or self._long_in(text) for text in texts(value))

    def clean(self, message: str) -> str:
        """A message without the secrets in it."""
        if message in self._texts:
            return "***"
        for secret in sorted(self._long_in(message), key=len, reverse=True):
            message = message.replace(secret, "***")
        return message

    def sealed(self, value: Any) -> Any:
        """A value as it may lie in Airflow's database: sealed with its Fernet key if it holds a secret."""
        return {SECRET: seal({SEALED: value})} if self.are_in(value) else value

    def opened(self, value: Any) -> Any:
        """What :meth:`sealed` was given; its texts are secrets from now on."""
        return self.learn(unseal(value[SECRET])[SEALED]) if is_sealed(value) else value

    def _long_in(self, text: str) -> list[str]:
        return [one for one in self._texts if len(one) >= _SHORTEST and one in text]


def is_sealed(value: Any) -> bool:
    """Whether it stands for a value that holds a secret."""
    return isinstance(value, Mapping) and set(value) == {SECRET}


def is_secret(parameter: Parameter) -> bool:
    """Whether a pipeline's parameter is a SecureString."""
    return parameter.type.casefold() == "securestring"
