"""The JSON document that a program hands back in the file that ``AIRFLOW_ML_RESULT`` names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_LARGEST = 16 << 20


def wrong_result(path: Path) -> str:
    """What is wrong with the document; nothing when there is none."""
    if not path.exists():
        return ""
    if path.stat().st_size > _LARGEST:
        return f"the result has {path.stat().st_size} bytes: takes at most {_LARGEST}: store it, and hand back where"
    try:
        json.loads(path.read_bytes(), parse_constant=_refuse)
    except ValueError as error:
        return f"the result is no JSON: {error}"
    return ""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number: hand back null or text in its place")
