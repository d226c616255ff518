"""What the sensors share: one look, then a wait in the triggerer where they defer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.sensor import BaseSensorOperator, PokeReturnValue

from airflow_ml_provider._compat import (
    DEFERRABLE,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from airflow_ml_provider.core.errors import ProviderError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger


class DeferrableSensor(BaseSensorOperator):
    """A sensor whose ``poke`` looks, and whose trigger waits.

    Deferred, it keeps the promises of Airflow's sensors: ``timeout`` counts from the first look of the try however often the task is
    deferred, and ``soft_fail``, ``never_fail`` and ``silent_fail`` mean what they mean elsewhere. ``mode``, ``exponential_backoff``
    and ``max_wait`` are for sensors that do not defer.
    """

    ui_color = "#e9efe2"

    def __init__(self, *, deferrable: bool = DEFERRABLE, poke_interval: float = 10.0, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        return self._look_or_defer(context, time.time() + self.timeout)

    def execute_complete(self, context: Context, event: Mapping[str, Any], deadline: float | None = None) -> Any:
        """Look again after the trigger: what is there now is the answer.

        :param deadline: of the try, in seconds since the epoch.
        """
        outcome, message = event["outcome"], event["message"]
        if outcome == "timeout":
            raise self._failure(AirflowSensorTimeout(message))
        if outcome == "error":
            self._judge(lambda: _raise(ProviderError(message)))
        return self._look_or_defer(context, time.time() + self.timeout if deadline is None else deadline)

    def poke(self, context: Context) -> PokeReturnValue:
        raise NotImplementedError

    def _look_or_defer(self, context: Context, deadline: float) -> Any:
        found = self._judge(lambda: self.poke(context))
        if found.is_done:
            return found.xcom_value
        if time.time() > deadline:
            raise self._failure(AirflowSensorTimeout(f"The timeout of {self.timeout:g} s has passed"))
        return self.defer(trigger=self._trigger(deadline), method_name="execute_complete", kwargs={"deadline": deadline})

    def _judge(self, look: Callable[[], PokeReturnValue]) -> PokeReturnValue:
        """The answer of one look, or what Airflow's sensors make of its error: ``BaseSensorOperator.execute``."""
        try:
            return look()
        except AirflowSkipException:
            raise
        except (AirflowSensorTimeout, AirflowTaskTimeout, AirflowFailException) as error:
            raise self._failure(error) from error
        except Exception as error:
            if self.silent_fail:
                self.log.exception("The look failed, and the sensor waits on")
                return PokeReturnValue(is_done=False)
            if self.never_fail:
                raise AirflowSkipException("Skipping due to never_fail is set to True.") from error
            raise

    def _failure(self, error: BaseException) -> BaseException:
        """The error itself, or a skip where the sensor fails softly."""
        if self.soft_fail or self.never_fail:
            return AirflowSkipException(f"Skipped instead of failed: {error}")
        return error

    def _trigger(self, deadline: float) -> BaseTrigger:
        """What waits until ``deadline``, in seconds since the epoch."""
        raise NotImplementedError


def _raise(error: Exception) -> PokeReturnValue:
    raise error
