"""What every kind of storage does as a mount. Inherit :class:`MountContract` and name the mount."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from tests.mounts.program import NAMES

EXPECTED: dict[str, Any] = {
    "write_and_read": 100,
    "append": 110,
    "overwrite": 7,
    "partitioned": [33, 99],
    "formats": [5, 5, 5],
    "concurrent": 20,
    "dynamic": {"0": 3, "1": 10, "2": 3, "7": 4},
    "names": [3] * len(NAMES),
    "listed": sorted(NAMES),
    "file": [5, ["one.txt"]],
    "renamed": [True, ["two.txt"]],
    "deleted": [True, False],
    "rdd": True,
}


class MountContract:
    """The operations, each with what it gives.

    :cvar mount: the mount's name.
    :cvar cannot: operations that the test's server cannot do, and why.
    """

    mount: ClassVar[str]
    cannot: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("operation", [*EXPECTED, "many"])
    def test_operation(self, results: Mapping[str, Mapping[str, Any]], small_files: int, operation: str) -> None:
        if self.mount not in results:
            pytest.skip("SOAK_STORES leaves it out")
        if operation in self.cannot:
            pytest.skip(self.cannot[operation])
        assert results[self.mount][operation] == {**EXPECTED, "many": small_files}[operation]
