"""Registration, gate and promotion on a real MLflow on SQLite."""

from __future__ import annotations

import math

import numpy
import pytest

from airflow_ml_provider.core.errors import NotFound, SpecError
from airflow_ml_provider.models import gate, promotion, registration, tracking

pytestmark = pytest.mark.filterwarnings("ignore")
AUC = gate.Rule("auc", threshold=0.7)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    return MlflowClient(uri, uri)


@pytest.fixture
def experiment(client, request, tmp_path):
    return tracking.experiment_id(client, request.node.name, tmp_path.as_uri())


@pytest.fixture
def trained(client, experiment):
    """Makes a run with a metric and a logged model."""

    def make(auc=None):
        run = client.create_run(experiment).info.run_id
        if auc is not None:
            client.log_metric(run, "auc", auc)
        model = client.create_logged_model(experiment, source_run_id=run)
        client.finalize_logged_model(model.model_id, "READY")
        return run

    return make


def test_one_run_has_one_version(client, trained):
    first, second = trained(0.8), trained(0.9)
    version = registration.register(client, "once", first, {"a": "b"})
    assert registration.register(client, "once", first).version == version.version
    assert registration.register(client, "once", second).version != version.version
    assert dict(version.tags) == {"a": "b"}


def test_a_run_without_a_model_is_named(client, experiment):
    run = client.create_run(experiment).info.run_id
    with pytest.raises(NotFound, match=f"run {run} logged no model"):
        registration.register(client, "nothing", run)


def test_the_best_candidate_wins():
    found = [registration.Candidate.parse({"run_id": name, "metrics": {"auc": auc}}) for name, auc in (("a", 0.7), ("b", 0.9))]
    assert registration.best_candidate(found, "auc").run_id == "b"
    assert registration.best_candidate(found, "auc", greater_is_better=False).run_id == "a"
    with pytest.raises(SpecError, match="run a reported no 'f1': it has auc"):
        registration.best_candidate(found, "f1")
    with pytest.raises(SpecError, match="metric: is required"):
        registration.best_candidate(found, None)
    with pytest.raises(SpecError, match="candidates: got none"):
        registration.best_candidate([], "auc")
    with pytest.raises(SpecError, match="takes a run id or"):
        registration.Candidate.parse(3)


def candidates(*values, metric="auc"):
    return [registration.Candidate.parse({"run_id": f"r{at}", "metrics": {metric: value}}) for at, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "best", "least"),
    [
        ([math.nan, 0.7, 0.9], "r2", "r1"),
        ([None, 0.7, math.nan, 0.9, None], "r3", "r1"),
        ([9.5, 10.2], "r1", "r0"),
        ([1, 1.0, True + 0], "r0", "r0"),
        ([numpy.float32(0.5), numpy.int64(2), 0.7], "r1", "r0"),
        ([-math.inf, 0.0, math.inf], "r2", "r0"),
        ([None, 0.1], "r1", "r1"),
    ],
)
def test_only_numbers_are_compared(values, best, least):
    assert registration.best_candidate(candidates(*values), "auc").run_id == best
    assert registration.best_candidate(candidates(*values), "auc", greater_is_better=False).run_id == least


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.5, "10.2"], r"metric: run r1 reported 'auc': got '10.2' of type str: expected a number, NaN or None"),
        ([True, 0.5], "run r0 reported 'auc': got True of type bool"),
        ([numpy.bool_(True), 0.5], "run r0 reported 'auc': got (np.)?True.* of type bool"),
        ([[0.5]], "run r0 reported 'auc': got \\[0.5\\] of type list"),
        ([None, math.nan], r"no candidate has a number for 'auc': r0 \(None\), r1 \(nan\)"),
        ([math.nan], r"no candidate has a number for 'auc': r0 \(nan\)"),
    ],
)
def test_what_is_no_number_is_refused(values, said):
    with pytest.raises(SpecError, match=said):
        registration.best_candidate(candidates(*values), "auc")


def test_nan_never_passes_the_gate(client, trained):
    def version(auc):
        return str(registration.register(client, "nan", trained(auc)).version)

    lost, good = version(math.nan), version(0.8)
    for rule in (gate.Rule("auc"), AUC, gate.Rule("auc", greater_is_better=False), gate.Rule("auc", tolerance=1.0)):
        verdict = gate.evaluate(client, "nan", lost, rule)
        assert (verdict.proceed, verdict.reasons) == (False, ("auc is NaN",))
    assert promotion.promote(client, "nan", lost, expected=None)
    assert gate.evaluate(client, "nan", good, AUC).proceed  # a number is better than a champion without one
    for field in ("threshold", "tolerance"):
        with pytest.raises(SpecError, match=f"{field}: got nan: expected a number"):
            gate.Rule("auc", **{field: math.nan})


def test_gate_and_promotion(client, trained):
    def version(auc):
        return str(registration.register(client, "gated", trained(auc)).version)

    weak, good, worse = version(0.6), version(0.8), version(0.75)
    assert gate.evaluate(client, "gated", weak, AUC).reasons == ("auc is 0.6, and the threshold asks for at least 0.7",)
    verdict = gate.evaluate(client, "gated", weak, AUC, mode=gate.GateMode.DRY_RUN)
    assert (verdict.good, verdict.proceed) == (False, True)
    verdict = gate.evaluate(client, "gated", good, AUC)
    assert (verdict.proceed, verdict.champion_version) == (True, None)
    assert promotion.promote(client, "gated", good, expected=None)
    assert not promotion.promote(client, "gated", good, expected=None)
    assert gate.evaluate(client, "gated", good, AUC).proceed
    verdict = gate.evaluate(client, "gated", worse, AUC)
    assert not verdict.proceed
    assert verdict.champion_value == 0.8
    assert gate.evaluate(client, "gated", worse, gate.Rule("auc", tolerance=0.1)).proceed
    assert gate.evaluate(client, "gated", worse, gate.Rule("auc", greater_is_better=False)).proceed
    assert gate.evaluate(client, "gated", weak, AUC, mode=gate.GateMode.DISABLED).champion_version == good
    with pytest.raises(promotion.AliasMoved, match=f"points at version {good} and not at no version"):
        promotion.promote(client, "gated", worse, expected=None)
    with pytest.raises(SpecError, match="logged no 'f1'"):
        gate.evaluate(client, "gated", good, gate.Rule("f1"))


def test_a_mode_that_nobody_knows():
    with pytest.raises(SpecError, match="mode: got 'on': takes one of disabled, dry_run, enabled"):
        gate.gate_mode("on")
