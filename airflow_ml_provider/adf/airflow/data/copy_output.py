"""The output of a Copy in its documented shape ("Monitor copy activity"), also when it failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow_ml_provider.adf.airflow.activity_facts import now, written

_UNKNOWN = ("dataRead", "dataWritten", "filesRead", "filesWritten", "rowsRead", "rowsCopied", "sourcePeakConnections")
_UNKNOWN_TOO = ("sinkPeakConnections", "usedDataIntegrationUnits", "usedParallelCopies")


def copy_output(
    found: Mapping[str, Any], began: datetime, source: str = "", sink: str = "", error: BaseException | None = None
) -> dict[str, Any]:
    """What a Copy has counted, with its times and errors. What is not known here is null.

    :param source: the type of the source's dataset; the same for ``sink``.
    """
    seconds = (now() - began).total_seconds()
    counted = {**dict.fromkeys((*_UNKNOWN, *_UNKNOWN_TOO)), **found}
    size = counted["dataRead"]
    whole = max(round(seconds), 1)
    details = {
        "source": {"type": source},
        "sink": {"type": sink},
        "status": "Failed" if error else "Succeeded",
        "start": written(began),
        "duration": whole,
        "detailedDurations": {"queuingDuration": 0, "transferDuration": whole},
    }
    errors = [{"Code": getattr(error, "code", "") or None, "Message": str(error) or type(error).__name__}] if error else []
    return {
        **counted,
        "copyDuration": whole,
        "throughput": None if size is None else round(size / 1024 / max(seconds, 0.001), 3),
        "errors": errors,
        "effectiveIntegrationRuntime": None,
        "executionDetails": [details],
    }
