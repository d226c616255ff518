"""Tags in the letters that AWS takes, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

OWNER = "airflow-ml-provider"
"""The tag that every cluster of this provider has; its value is the cluster's token."""
_LONGEST = 256
_NOT_TAKEN = re.compile(r"[^\w .:/+@-]")
_ESCAPED = re.compile(r"(?:=[0-9A-F]{2})+")


def encoded(tags: Mapping[str, str]) -> dict[str, str]:
    """Other letters as ``=`` and two hexadecimal digits a byte."""
    return {_encode(key)[:128]: _encode(value)[:_LONGEST] for key, value in tags.items()}


def decoded(tags: Mapping[str, str]) -> dict[str, str]:
    """What :func:`encoded` was given."""
    return {_decode(key): _decode(value) for key, value in tags.items()}


def _encode(text: str) -> str:
    return _NOT_TAKEN.sub(lambda found: "".join(f"={byte:02X}" for byte in found[0].encode()), text)


def _decode(text: str) -> str:
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[0].replace("=", "")).decode(errors="replace"), text)
