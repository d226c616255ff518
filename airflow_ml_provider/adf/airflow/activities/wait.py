"""Wait."""

from __future__ import annotations

import time
from typing import Any

from airflow_ml_provider.adf.airflow.activities.call import Call


def wait(call: Call) -> Any:
    call.pause(call.once("until", lambda: time.time() + call.number("waitTimeInSeconds")))
    return {}
