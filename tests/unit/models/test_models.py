"""Registration, gate and promotion on a real MLflow on SQLite."""

from __future__ import annotations

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
