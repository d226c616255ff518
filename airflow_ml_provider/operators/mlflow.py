"""Operators from a trained model to the champion: register, judge, promote."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider._compat import AirflowFailException
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.hooks.mlflow import DEFAULT_CONN_ID, MLflowHook
from airflow_ml_provider.links.mlflow import MLflowRunLink
from airflow_ml_provider.models.gate import CHAMPION, GateMode, Rule, evaluate, gate_mode
from airflow_ml_provider.models.promotion import promote
from airflow_ml_provider.models.registration import Candidate, best_candidate, register
from airflow_ml_provider.operators.base import final_errors, insist, is_constant
from airflow_ml_provider.operators.context import job_tags

if TYPE_CHECKING:
    from airflow.sdk import Context
    from mlflow import MlflowClient

T = TypeVar("T")


class _ModelOperator(BaseOperator):
    """What the three share: the connection, calls that must be answered, and the link to the model's page."""

    operator_extra_links = (MLflowRunLink(),)
    ui_color = "#cfe3f5"

    def __init__(self, *, mlflow_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mlflow_conn_id = mlflow_conn_id
        self.link_urls: dict[str, str] = {}

    def _ask(self, hook: MLflowHook, call: Callable[[MlflowClient], T]) -> T:
        """Repeat the call after each passing fault of MLflow, then fail: without its answer there is nothing to go on with."""
        return insist(partial(hook.ask, call), log=self.log)

    def _show(self, context: Context, url: str) -> None:
        if url:
            self.link_urls = {MLflowRunLink.xcom_key: url}
            context["ti"].xcom_push(key=MLflowRunLink.xcom_key, value=url)


class RegisterModelOperator(_ModelOperator):
    """Register the model of the best candidate and return ``{"name", "version", "uri", "run_id", "metrics"}``.

    A retry finds the version of the first attempt: one run has one version. When MLflow is not available, the task asks again for
    some minutes and then fails.

    :param model_name: in the registry. Templated.
    :param candidates: one or a list of: a run's id, or a training job's result ``{"run_id": ..., "metrics": {name: value}}``. Templated.
    :param metric: the one that chooses among several candidates; the first of equals wins. It must be a number: NaN and None lose
        against every number, text and truths are refused, and so are candidates of which none has a number. Templated.
    :param greater_is_better: False for a loss.
    :raises NotFound: the run logged no model.
    """

    template_fields: Sequence[str] = ("model_name", "candidates", "metric", "mlflow_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"candidates": "json"}

    def __init__(
        self, *, model_name: str, candidates: Any, metric: str | None = None, greater_is_better: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.candidates = candidates
        self.metric = metric
        self.greater_is_better = greater_is_better

    def execute(self, context: Context) -> dict[str, Any]:
        with final_errors():
            name = _required("model_name", self.model_name)
            found = [Candidate.parse(item) for item in _listed(self.candidates)]
            best = best_candidate(found, self.metric, greater_is_better=self.greater_is_better)
            hook = MLflowHook(self.mlflow_conn_id)
            version = self._ask(hook, lambda client: str(register(client, name, best.run_id, job_tags(context, "")).version))
        self.log.info("Run %s, the best of %d, is %s version %s", best.run_id, len(found), name, version)
        self._show(context, hook.model_url(name, version))
        uri = f"models:/{name}/{version}"
        return {"name": name, "version": version, "uri": uri, "run_id": best.run_id, "metrics": _finite(best.metrics)}


class EvaluateModelOperator(_ModelOperator):
    """Judge a registered version by a threshold and by the current champion, and return what was seen, for the promotion.

    :param model: what :class:`RegisterModelOperator` returned, or ``{"name": ..., "version": ...}``. Templated.
    :param metric: as the version's run logged it. A version whose metric is NaN does not pass. Templated.
    :param threshold: the bound that it must reach; None asks for none. Templated.
    :param mode: ``enabled`` fails the task of a version that falls short, for good; ``dry_run`` only says so; ``disabled`` does not
        look. Templated.
    :param greater_is_better: False for a loss.
    :param tolerance: how much worse than the champion it may be, in the metric's unit.
    :param alias: the one that the champion holds.
    """

    template_fields: Sequence[str] = ("model", "metric", "threshold", "mode", "mlflow_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"model": "json"}

    def __init__(
        self,
        *,
        model: Any,
        metric: str,
        threshold: float | str | None = None,
        mode: str = GateMode.ENABLED,
        greater_is_better: bool = True,
        tolerance: float = 0.0,
        alias: str = CHAMPION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.metric = metric
        self.threshold = threshold
        self.mode = str(mode)
        self.greater_is_better = greater_is_better
        self.tolerance = tolerance
        self.alias = alias
        if is_constant(self.mode):
            gate_mode(self.mode)

    def execute(self, context: Context) -> dict[str, Any]:
        with final_errors():
            name, version = _model(self.model)
            mode = gate_mode(self.mode)
            rule = Rule(self.metric, _number("threshold", self.threshold), self.greater_is_better, self.tolerance)
            hook = MLflowHook(self.mlflow_conn_id)
            verdict = self._ask(hook, lambda client: evaluate(client, name, version, rule, mode=mode, alias=self.alias))
        self._show(context, hook.model_url(name, version))
        said = "; ".join(verdict.reasons) or "it is good enough"
        self.log.info("Gate (%s) for %s version %s: %s", mode, name, version, said)
        if not verdict.proceed:
            raise AirflowFailException(f"{name} version {version} does not pass the gate: {said}")
        seen = {**_finite(asdict(verdict)), "reasons": list(verdict.reasons)}
        return {"name": name, "version": version, "alias": self.alias, **seen}


class PromoteModelOperator(_ModelOperator):
    """Point the alias at the version that passed the gate and return ``{"name", "version", "alias", "previous", "uri"}``.

    :param gate: what :class:`EvaluateModelOperator` returned, or ``{"name", "version", "champion_version"}`` (and ``alias``). Templated.
    :raises AliasMoved: somebody moved the alias since the gate looked.
    """

    template_fields: Sequence[str] = ("gate", "mlflow_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"gate": "json"}

    def __init__(self, *, gate: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gate = gate

    def execute(self, context: Context) -> dict[str, Any]:
        with final_errors():
            name, version = _model(self.gate, "gate")
            expected, alias = _expected(self.gate)
            hook = MLflowHook(self.mlflow_conn_id)
            moved = self._ask(hook, lambda client: promote(client, name, version, expected=expected, alias=alias))
        self.log.info("%s@%s %s version %s", name, alias, "is now" if moved else "was already", version)
        self._show(context, hook.model_url(name, version))
        return {"name": name, "version": version, "alias": alias, "previous": expected, "uri": f"models:/{name}@{alias}"}


def _listed(candidates: Any) -> list[Any]:
    if isinstance(candidates, (str, Mapping)):
        return [candidates]
    if candidates is None:
        raise SpecError("candidates: got None: takes the results of the training jobs")
    # By index: Airflow logs an error when somebody reads a mapped task's results past their end.
    return [candidates[index] for index in range(len(candidates))]


def _required(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SpecError(f"{field}: got {value!r}: takes a name")
    return value


def _model(value: Any, field: str = "model") -> tuple[str, str]:
    if not isinstance(value, Mapping) or not value.get("name") or not value.get("version"):
        raise SpecError(f'{field}: got {value!r}: takes {{"name": ..., "version": ...}}')
    return str(value["name"]), str(value["version"])


def _expected(gate: Mapping[str, Any]) -> tuple[str | None, str]:
    if "champion_version" not in gate:
        raise SpecError("gate: has no 'champion_version': takes what EvaluateModelOperator returned")
    if not gate.get("proceed", True):
        raise SpecError("gate: the version did not pass: it is not promoted")
    seen = gate["champion_version"]
    return (None if seen is None else str(seen)), str(gate.get("alias") or CHAMPION)


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with None for NaN and infinities, which JSON, and so an XCom on PostgreSQL, cannot hold."""
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()}


def _number(field: str, value: Any) -> float | None:
    if value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        return None
    try:
        if isinstance(value, bool):
            raise TypeError("a truth is no number")
        return float(value)
    except (TypeError, ValueError):
        raise SpecError(f"{field}: got {value!r}: takes a number") from None
