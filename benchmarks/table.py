"""How the benchmarks print what they measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def print_times(title: str, times: Mapping[str, Sequence[float]]) -> None:
    """A table of seconds, a line a side."""
    width = max(map(len, times))
    print(f"\n{title}")
    for name, values in times.items():
        shown = "  ".join(f"{word} {value:7.2f} s" for word, value in _summary(values).items())
        print(f"  {name:<{width}}  {shown}  ({len(values)} times)", flush=True)


def print_ratio(what: str, ours: Sequence[float], theirs: Sequence[float], bound: float) -> None:
    """The ratio of the medians beside what it is expected to be at most."""
    print(f"  {what}: ratio {statistics.median(ours) / statistics.median(theirs):.3f} (expected: at most {bound:g})", flush=True)


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}
