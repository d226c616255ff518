"""What the sensors share: one look, then a wait in the triggerer where they defer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.sensor import BaseSensorOperator, PokeReturnValue

from airflow_ml_provider._compat import DEFERRABLE, AirflowSensorTimeout
from airflow_ml_provider.core.errors import ProviderError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger


class DeferrableSensor(BaseSensorOperator):
    """A sensor whose ``poke`` looks, and whose trigger waits."""

    ui_color = "#e9efe2"

    def __init__(self, *, deferrable: bool = DEFERRABLE, poke_interval: float = 10.0, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        found = self.poke(context)
        if found.is_done:
            return found.xcom_value
        trigger = self._trigger(time.time() + self.timeout if self.timeout else None)
        return self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Look again after the trigger: what is there now is the answer."""
        if event["outcome"] == "timeout":
            raise AirflowSensorTimeout(event["message"])
        if event["outcome"] == "error":
            raise ProviderError(event["message"])
        return self.execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        raise NotImplementedError

    def _trigger(self, deadline: float | None) -> BaseTrigger:
        """What waits until ``deadline``, in seconds since the epoch."""
        raise NotImplementedError
