"""The seed of all that is random in the soak tests. ``SOAK_SEED``, any text, repeats one; pytest's header shows it."""

from __future__ import annotations

import os
import secrets

SEED = os.environ.get("SOAK_SEED") or secrets.token_hex(4)
