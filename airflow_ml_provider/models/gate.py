"""Whether a registered version is good enough to take the champion's place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_ml_provider.core.errors import SpecError

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"


class GateMode(StrEnum):
    """What the gate's verdict does."""

    DISABLED = "disabled"
    """No verdict: every version passes."""
    DRY_RUN = "dry_run"
    """The verdict is reported, and every version passes."""
    ENABLED = "enabled"
    """A version that falls short is stopped."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a version has to reach.

    :param metric: its name, as the version's run logged it.
    :param threshold: the bound that the metric must reach; None asks for none.
    :param tolerance: how much worse than the champion it may be, in the metric's unit.
    :raises SpecError: the threshold or the tolerance is NaN.
    """

    metric: str
    threshold: float | None = None
    greater_is_better: bool = True
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        for field in ("threshold", "tolerance"):
            if (value := getattr(self, field)) is not None and math.isnan(value):
                raise SpecError(f"{field}: got {value!r}: expected a number")

    def reaches(self, value: float, bound: float) -> bool:
        """True when the value is as good as the bound or better."""
        return value >= bound if self.greater_is_better else value <= bound

    def beside(self, champion: float) -> float:
        """The bound that a champion with this value sets."""
        return champion - self.tolerance if self.greater_is_better else champion + self.tolerance


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate saw and said.

    :param good: the version reached the rule (also when the mode disregards it).
    :param proceed: it may be promoted.
    :param reasons: one sentence for each way in which it fell short.
    :param champion_version: the version that held the alias; None when none did. Promotion expects it unchanged.
    """

    good: bool
    proceed: bool
    mode: str
    metric: str
    value: float | None
    threshold: float | None
    champion_version: str | None
    champion_value: float | None
    reasons: tuple[str, ...] = ()


def gate_mode(value: str) -> GateMode:
    """Read a mode; :class:`SpecError` names the known ones."""
    if value not in list(GateMode):
        raise SpecError(f"mode: got {value!r}: takes one of {', '.join(GateMode)}")
    return GateMode(value)


def evaluate(
    client: MlflowClient, name: str, version: str, rule: Rule, *, mode: GateMode = GateMode.ENABLED, alias: str = CHAMPION
) -> Verdict:
    """Judge a version by the threshold and by the version that holds the alias.

    A version whose metric is NaN never passes, and one whose metric is a number is better than a champion whose metric is NaN.

    :raises SpecError: the version lacks the metric.
    """
    champion = alias_version(client, name, alias)
    if mode is GateMode.DISABLED:
        return Verdict(True, True, mode, rule.metric, None, rule.threshold, champion, None)
    value = _metric(client, name, version, rule.metric)
    if value is None:
        raise SpecError(f"metric: the run of {name} version {version} logged no {rule.metric!r}")
    rival = _metric(client, name, champion, rule.metric) if champion and champion != version else None
    reasons = _shortfalls(rule, value, champion if champion != version else None, rival)
    good = not reasons
    proceed = good or mode is GateMode.DRY_RUN
    return Verdict(good, proceed, mode, rule.metric, value, rule.threshold, champion, rival, reasons)


def alias_version(client: MlflowClient, name: str, alias: str) -> str | None:
    """The version that an alias points at, None when it points at none."""
    found = client.get_registered_model(name).aliases.get(alias)
    return None if found is None else str(found)


def _shortfalls(rule: Rule, value: float, champion: str | None, rival: float | None) -> tuple[str, ...]:
    if math.isnan(value):
        return (f"{rule.metric} is NaN",)
    reasons = []
    side = "at least" if rule.greater_is_better else "at most"
    if rule.threshold is not None and not rule.reaches(value, rule.threshold):
        reasons.append(f"{rule.metric} is {value:.6g}, and the threshold asks for {side} {rule.threshold:.6g}")
    if champion and rival is None:
        reasons.append(f"the champion, version {champion}, has no {rule.metric} to compare with")
    if champion and rival is not None and not math.isnan(rival) and not rule.reaches(value, rule.beside(rival)):
        bound = f"{side} {rule.beside(rival):.6g}"
        reasons.append(f"{rule.metric} is {value:.6g}, and the champion, version {champion}, asks for {bound}")
    return tuple(reasons)


def _metric(client: MlflowClient, name: str, version: str, metric: str) -> float | None:
    run_id = client.get_model_version(name, version).run_id
    found = client.get_run(run_id).data.metrics.get(metric) if run_id else None
    return None if found is None else float(found)
