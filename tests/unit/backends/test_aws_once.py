"""Work is done once on EMR and EMR Serverless, whatever fails: claims, lost answers, things that are not visible yet."""

from __future__ import annotations

import ast
import inspect
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import get_session

from airflow_ml_provider.backends.aws.once import SETTLES, lifetime, release, take
from airflow_ml_provider.backends.aws.service import AwsService
from airflow_ml_provider.backends.emr.backend import EmrBackend
from airflow_ml_provider.backends.emr_serverless.backend import EmrServerlessBackend
from airflow_ml_provider.core.errors import AccessDenied, NotFound, ProviderError, ServiceError, Unavailable
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, PythonCode
from airflow_ml_provider.core.state import ClusterState, JobState
from tests.contract.rigs import until_state
from tests.fakes.emr import BUCKET, ROLE, Services, client, clients, serving
from tests.fakes.emr_faults import CALLS
from tests.fakes.faults import AMBIGUOUS, Fault

LONG = SETTLES.total_seconds() + 120
KINDS: dict[str, Any] = {"emr": EmrBackend, "emr-serverless": EmrServerlessBackend}
NATIVE: dict[str, Any] = {"emr": {}, "emr-serverless": {"executionRoleArn": ROLE}}
FAULTS = sorted(AMBIGUOUS - {Fault.ANSWER_LATE})
DONE = (Fault.ANSWER_LOST, Fault.ANSWER_LATE, Fault.BROKEN_AFTER)
JOB = JobSpec(name="job", program=PythonCode(source="pass"))


@pytest.fixture(scope="module")
def running() -> Iterator[Services]:
    with serving(Services(speed=1)) as services:
        yield services


@pytest.fixture
def services(running: Services) -> Iterator[Services]:
    yield running
    running.faults.clear()
    for cluster in running.clusters.values():
        cluster.end("TERMINATED", "CANCELLED")
    running.clusters.clear()


@pytest.fixture(params=[*KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(services: Services, kind: str) -> Any:
    return fresh(services, kind)


def fresh(services: Services, kind: str, **config: Any) -> Any:
    """A backend as a new process has it, in a staging area that the others of the test share."""
    return KINDS[kind](clients(services, **config), f"s3://{BUCKET}/once")


only_emr = pytest.mark.parametrize("kind", ["emr"], indirect=True)


def create(backend: Any, token: str) -> str:
    plan = backend.plan_cluster(ClusterSpec(name="x", native=NATIVE[backend.name], max_lifetime=None))
    made: str = backend.create(plan, token=token)
    return made


def running_cluster(backend: Any) -> str:
    made = create(backend, new_token())
    until_state(backend, made, ["RUNNING"], 30)
    return made


def submit(backend: Any, cluster: str, token: str) -> str:
    made: str = backend.submit(cluster, backend.plan_job(JOB), token=token)
    return made


def new_token() -> str:
    return uuid.uuid4().hex[:24]


# Lost answers


@pytest.mark.parametrize("fault", FAULTS)
def test_one_create_is_one_cluster(services: Services, backend: Any, kind: str, fault: Fault) -> None:
    token = new_token()
    services.faults.add(fault, CALLS[kind]["create"])
    with pytest.raises(Unavailable):
        create(backend, token)
    services.faults.expect_met(fault)
    if kind == "emr" and fault not in DONE:
        with pytest.raises(Unavailable, match="does not show it yet"):
            create(fresh(services, kind), token)
        assert not services.clusters
        services.later(LONG)
    made = create(fresh(services, kind), token)
    assert [*services.clusters] == [made]


@pytest.mark.parametrize("fault", FAULTS)
def test_one_submit_is_one_job(services: Services, backend: Any, kind: str, fault: Fault) -> None:
    cluster, token = running_cluster(backend), new_token()
    services.faults.add(fault, CALLS[kind]["submit"])
    with pytest.raises(Unavailable):
        submit(backend, cluster, token)
    if kind == "emr" and fault not in DONE:
        with pytest.raises(Unavailable, match="does not show it yet"):
            submit(fresh(services, kind), cluster, token)
        services.later(LONG)
    made = submit(fresh(services, kind), cluster, token)
    assert [*services.clusters[cluster].jobs] == [made]


def test_a_late_answer_is_not_asked_for_again(services: Services, kind: str) -> None:
    """A client that repeats calls would do so after its read timeout."""
    token, impatient = new_token(), fresh(services, kind, read_timeout=1)
    services.faults.add(Fault.ANSWER_LATE, CALLS[kind]["create"])
    with pytest.raises(Unavailable, match="Read timeout"):
        create(impatient, token)
    made = create(fresh(services, kind), token)
    cluster = made
    services.faults.add(Fault.ANSWER_LATE, CALLS[kind]["submit"])
    until_state(fresh(services, kind), cluster, ["RUNNING"], 30)
    with pytest.raises(Unavailable, match="Read timeout"):
        submit(impatient, cluster, token)
    job = submit(fresh(services, kind), cluster, token)
    assert ([*services.clusters], [*services.clusters[cluster].jobs]) == ([made], [job])


@only_emr
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.THROTTLED, Fault.DENIED])
def test_a_call_that_was_surely_not_done_is_asked_again_at_once(services: Services, backend: Any, fault: Fault) -> None:
    token = new_token()
    create_call = CALLS["emr"]["create"]
    if fault is Fault.REFUSED:
        backend.store.client_of_s3 = None
        emr = client("http://127.0.0.1:1", "emr", retries={"total_max_attempts": 1})
        s3 = clients(services)("s3")
        reader = clients(services)("emr")
        backend = EmrBackend(
            lambda service, *, repeats=True: s3 if service == "s3" else reader if repeats else emr, f"s3://{BUCKET}/once"
        )
    else:
        services.faults.add(fault, create_call)
    with pytest.raises((Unavailable, AccessDenied)):
        create(backend, token)
    assert not services.clusters
    assert create(fresh(services, "emr"), token) in services.clusters


@pytest.mark.parametrize("note", ["PutObject */id", "PutObject */ids/*"])
def test_an_owner_that_dies_before_its_note(services: Services, backend: Any, kind: str, note: str) -> None:
    token = new_token()
    services.faults.add(Fault.RESET, note)
    with pytest.raises(Unavailable):
        create(backend, token)
    assert [create(fresh(services, kind), token)] == [*services.clusters]


@only_emr
def test_an_owner_that_dies_before_the_service_shows_its_work(services: Services, backend: Any) -> None:
    """The claim outlasts what the service does not show; its follower sees the work before it asks."""
    token = new_token()
    services.faults.add(Fault.INVISIBLE, "RunJobFlow", looks=3)
    services.faults.add(Fault.RESET, "PutObject */ids/*")
    with pytest.raises(Unavailable):
        create(backend, token)
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not show it yet"):
            create(fresh(services, "emr"), token)
    services.later(LONG)  # the claim is stale, and its follower's first look still sees nothing
    assert [create(fresh(services, "emr"), token)] == [*services.clusters]


# Claims


@pytest.fixture
def store(services: Services) -> Any:
    return AwsService(clients(services), f"s3://{BUCKET}/claims-{new_token()}").store


@pytest.fixture
def place(services: Services) -> Any:
    return AwsService(clients(services), f"s3://{BUCKET}/claims-{new_token()}").staging / "claim"


HOUR = timedelta(hours=1)


def taken(store: Any, place: Any) -> bool:
    try:
        take(store, place, HOUR)
    except Unavailable:
        return False
    return True


def test_exactly_one_follower_takes_over_a_stale_claim(services: Services, store: Any, place: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: taken(store, place), range(8))) == 1
        services.later(3000)
        assert sum(pool.map(lambda _: taken(store, place), range(8))) == 0
        services.later(601)
        assert sum(pool.map(lambda _: taken(store, place), range(8))) == 1
        assert sum(pool.map(lambda _: taken(store, place), range(8))) == 0


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.BROKEN_AFTER])
def test_a_claim_whose_answer_was_lost_is_ones_own(services: Services, place: Any, fault: Fault, attempts: int) -> None:
    """A repeated conditional write is refused with 412, and one that is not repeated ends with a passing fault."""
    retries = {"mode": "standard", "total_max_attempts": attempts}
    s3 = client(services.endpoint, "s3", retries=retries)
    store = AwsService(lambda *_, **__: s3, f"s3://{BUCKET}/x").store
    services.faults.add(fault, "PutObject */claim")
    assert take(store, place, HOUR).is_new
    services.later(3601)
    services.faults.add(fault, "PutObject */claim")
    assert not take(store, place, HOUR).is_new
    assert not taken(store, place)


def test_a_claim_that_is_given_back_is_taken_at_once_but_not_by_a_former_owner(
    services: Services, store: Any, place: Any
) -> None:
    first = take(store, place, HOUR)
    services.later(3601)
    second = take(store, place, HOUR)
    release(store, first)
    assert not taken(store, place)
    release(store, second)
    assert taken(store, place)


@only_emr
def test_an_owner_that_was_stopped_for_long_does_not_ask(
    services: Services, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, clock = new_token(), iter([0.0, 31.0])
    monkeypatch.setattr("airflow_ml_provider.backends.aws.once.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(Unavailable, match="stopped for too long"):
        create(backend, token)
    monkeypatch.undo()
    assert not services.clusters
    assert create(backend, token) in services.clusters


def test_a_claim_lasts_longer_than_the_call_that_it_protects(services: Services) -> None:
    slow = client(services.endpoint, "emr", connect_timeout=50, read_timeout=600, retries={"total_max_attempts": 1})
    assert lifetime(slow) > timedelta(seconds=650) + SETTLES
    with pytest.raises(AssertionError, match="never repeats"):
        lifetime(client(services.endpoint, "emr", retries={"total_max_attempts": 2}))


SAFE = ("describe_", "list_", "get_", "terminate_", "cancel_", "stop_", "delete_")
"""Calls that find what they ask for done already when they are repeated: the services' references."""


@pytest.mark.parametrize(
    ("kind", "once"), [("emr", {"run_job_flow", "add_job_flow_steps", "create_persistent_app_ui"}), ("emr-serverless", set())]
)
def test_every_call_that_may_be_repeated_is_idempotent(kind: str, once: set[str]) -> None:
    """By its nature, or by a token of botocore's model, which the service compares. The code is searched for its calls."""
    model = get_session().get_service_model(kind)
    operations = {xform_name(name): model.operation_model(name) for name in model.operation_names}
    calls: dict[str, set[str]] = {"emr": set(), "emr_once": set()}
    for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(KINDS[kind]) or ast))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr in calls:
            calls[node.value.attr].add(node.attr)
    assert calls["emr_once"] == once
    for name in (calls["emr"] & {*operations}) - {name for name in calls["emr"] if name.startswith(SAFE)}:
        tokens = operations[name].idempotent_members or [item for item in operations[name].input_shape.members if "Token" in item]
        assert tokens, f"{name} takes no idempotency token: call it by emr_once, under a claim"
    for name in once:
        assert not [item for item in operations[name].input_shape.members if "token" in item.lower()]


# Not visible yet


def test_a_new_cluster_that_is_not_visible_is_unknown_and_not_gone(services: Services, backend: Any, kind: str) -> None:
    services.faults.add(Fault.INVISIBLE, CALLS[kind]["create"], looks=99)
    cluster, other = create(backend, new_token()), fresh(services, kind)
    for look in (backend, other):
        status = look.describe([cluster])[cluster]
        assert (status.state, status.message) == (ClusterState.UNKNOWN, f"{cluster} is not visible yet")
        assert look.poll(cluster, ["s-1ABC"])["s-1ABC"].state is JobState.CANCELLED
    assert other.describe([cluster, "j-1", "00f1"])[cluster].state is ClusterState.UNKNOWN
    for call in (lambda: submit(other, cluster, new_token()), lambda: other.terminate(cluster)):
        with pytest.raises(Unavailable, match="is not visible yet"):
            call()
    services.later(SETTLES.total_seconds() + 1)
    assert other.describe([cluster])[cluster].state is ClusterState.TERMINATED
    with pytest.raises(NotFound):
        submit(other, cluster, new_token())
    services.clusters[cluster].hidden = 0
    assert until_state(other, cluster, ["RUNNING"], 30)


def test_a_cluster_that_is_ended_before_it_is_visible_ends(services: Services, backend: Any, kind: str) -> None:
    services.faults.add(Fault.INVISIBLE, CALLS[kind]["create"], looks=2)
    cluster, other = create(backend, new_token()), fresh(services, kind)
    for _ in range(9):
        try:
            other.terminate(cluster)
        except Unavailable:
            continue
        break
    until_state(other, cluster, ["TERMINATED"], 30)
    left = client(services.inner, "s3").list_objects_v2(Bucket=BUCKET, Prefix="once/ids/").get("Contents", ())
    assert cluster not in {item["Key"].rpartition("/")[2] for item in left}


def test_a_new_job_that_is_not_visible_is_unknown_and_not_cancelled(services: Services, backend: Any, kind: str) -> None:
    cluster = running_cluster(backend)
    services.faults.add(Fault.INVISIBLE, CALLS[kind]["submit"], looks=99)
    job, other = submit(backend, cluster, new_token()), fresh(services, kind)
    for look in (backend, other):
        status = look.poll(cluster, [job])[job]
        assert (status.state, status.message) == (JobState.UNKNOWN, f"{job} is not visible yet")
    with pytest.raises(Unavailable, match="is not visible yet"):
        other.cancel(cluster, job)
    assert other.logs(cluster, job).lines == ()
    services.later(SETTLES.total_seconds() + 1)
    assert other.poll(cluster, [job])[job].state is JobState.CANCELLED
    services.clusters[cluster].jobs[job].hidden = 0
    assert other.poll(cluster, [job])[job].state is not JobState.CANCELLED


# Cleaning


@pytest.mark.parametrize("kind", ["emr-serverless"], indirect=True)
def test_create_leaves_the_applications_of_others_alone(services: Services, backend: Any) -> None:
    old = running_cluster(backend)
    services.clusters[old].end("STOPPED", "CANCELLED")
    assert [*backend.remains()] == []
    services.clusters[old].ended = 1.0
    services.faults.add(Fault.DENIED, "ListSessions", times=None)
    services.faults.add(Fault.DENIED, "DeleteApplication", times=None)
    assert create(backend, new_token()) != old
    services.faults.clear()
    assert services.clusters[old].state == "STOPPED"
    assert [*backend.remains()] == [old]
    backend.terminate(old)
    assert [*backend.remains()] == []
    assert services.clusters[old].state == "TERMINATED"


def test_objects_that_s3_did_not_delete_are_an_error(services: Services, store: Any) -> None:
    """DeleteObjects tells of them in a good answer."""

    class Quiet:
        def list_objects_v2(self, **_: Any) -> Any:
            return {"IsTruncated": False, "Contents": [{"Key": "x/secrets.json"}]}

        def delete_objects(self, **_: Any) -> Any:
            return {"Errors": [{"Key": "x/secrets.json", "Code": "AccessDenied", "Message": "no"}]}

    service = AwsService(lambda *_, **__: Quiet(), f"s3://{BUCKET}/x")
    with pytest.raises(AccessDenied, match="s3:DeleteObject"):
        service.store.remove(service.staging)


@pytest.mark.parametrize("kind", ["emr-serverless"], indirect=True)
@pytest.mark.parametrize("native", [{}, {"retryPolicy": {"maxAttempts": 2}}, {"mode": "STREAMING"}])
def test_secrets_stay_for_a_job_that_the_service_runs_again(services: Services, backend: Any, native: Any) -> None:
    cluster, token = running_cluster(backend), new_token()
    spec = JOB.model_copy(update={"native": native})
    backend.submit(cluster, backend.plan_job(spec), token=token, secrets={"KEY": "canary"})
    described = backend.store.read_json(backend._facts(cluster).folder.of_job(token) / "job.json")
    assert described["repeats"] is bool(native)


# What others have damaged


@pytest.mark.parametrize("fault", [Fault.FOREIGN_ANSWER, Fault.FOREIGN_REFUSAL])
def test_answers_of_something_else_are_passing_faults(services: Services, backend: Any, kind: str, fault: Fault) -> None:
    cluster = running_cluster(backend)
    job = submit(backend, cluster, new_token())
    calls: dict[str, Any] = {
        "describe": lambda: backend.describe([cluster]),
        "poll": lambda: backend.poll(cluster, [job]),
    }
    for name, call in calls.items():
        services.faults.add(fault, CALLS[kind][name])
        with pytest.raises(Unavailable, match="is incomplete|is not AWS's"):
            call()
    services.faults.expect_met(fault)
    assert cluster in {item.id for item in backend.owned()}


@pytest.mark.parametrize("damage", ["no owner", "no role", "bad token", "bad limit", "bad log", "no name", "bad name"])
def test_tags_and_names_that_others_have_changed(services: Services, kind: str, damage: str) -> None:
    maker = fresh(services, kind)
    cluster = running_cluster(maker)
    payload: Any = services.clusters[cluster].payload
    tags = payload.get("tags") or {tag["Key"]: tag["Value"] for tag in payload["Tags"]}
    changes = {
        "no owner": ("airflow-ml-provider", None),
        "no role": ("execution_role", None),
        "bad token": ("airflow-ml-provider", "../../x"),
        "bad limit": ("max_lifetime", "soon"),
    }
    if damage in changes:
        key, value = changes[damage]
        tags = {name: text for name, text in {**tags, key: value}.items() if text is not None}
        payload |= (
            {"tags": tags} if "tags" in payload else {"Tags": [{"Key": name, "Value": text} for name, text in tags.items()]}
        )
    if damage == "bad log" and kind == "emr":
        payload["LogUri"] = "http://elsewhere/?x"
    if damage in ("no name", "bad name"):
        payload["Name" if kind == "emr" else "name"] = "" if damage == "no name" else "] [#"
    backend = fresh(services, kind)
    backend.describe([cluster])
    backend.poll(cluster, ["s-1ABC"])
    list(backend.owned())
    backend.logs(cluster, "s-1ABC")
    services.clusters[cluster].end("TERMINATED", "CANCELLED")
    backend.describe([cluster])
    for call in (
        lambda: submit(backend, cluster, new_token()),
        lambda: backend.connect(cluster),
        lambda: backend.terminate(cluster),
    ):
        with suppress(ProviderError):
            call()


def test_a_noted_id_that_others_have_changed(backend: Any) -> None:
    token = new_token()
    create(backend, token)
    for content in (b"", b"<html>", b"\xff"):
        backend.store.write(backend.staging.of_cluster(token) / "id", content)
        with pytest.raises(ServiceError, match="id is damaged"):
            create(backend, token)


def test_a_cluster_description_that_others_have_changed(backend: Any) -> None:
    cluster = running_cluster(backend)
    place = backend._facts(cluster).folder / "cluster.json"
    for content in (b"{", b"{}", b"[]"):
        backend.store.write(place, content)
        with pytest.raises(ServiceError, match=r"cluster\.json is damaged"):
            submit(backend, cluster, new_token())


def test_a_job_runs_on_a_cluster_that_an_earlier_version_made(backend: Any) -> None:
    """Its folder holds that version's runner, which reads another job.json, and a description without a place of secrets."""
    cluster = running_cluster(backend)
    folder = backend._facts(cluster).folder
    backend.store.write(folder / "run_staged.py", b"raise SystemExit('files: got a mapping')")
    described = backend.store.read_json(folder / "cluster.json")
    backend.store.write_json(folder / "cluster.json", {key: value for key, value in described.items() if key != "properties"})
    job = submit(backend, cluster, new_token())
    while not (status := backend.poll(cluster, [job])[job]).state.ended:
        pass
    assert (status.state, status.message) == (JobState.SUCCEEDED, "")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b'{"result": 1}'], ids=["cut", "list", "bytes", "no message"])
def test_an_outcome_that_others_have_changed(services: Services, backend: Any, kind: str, content: bytes) -> None:
    cluster, token = running_cluster(backend), new_token()
    job = submit(backend, cluster, token)
    made = services.clusters[cluster].jobs[job]
    place = backend._facts(cluster).folder.of_job(token) / "outcome.json"
    while made.state not in ("COMPLETED", "SUCCESS"):
        backend.poll(cluster, [job])
    backend.store.write(place, content)
    status = backend.poll(cluster, [job])[job]
    if content.startswith(b'{"'):
        assert (status.state, status.result) == (JobState.SUCCEEDED, 1)
    else:
        assert status.state is JobState.FAILED
        assert "its result cannot be read" in status.message
        assert "outcome.json is damaged" in status.message
    assert json.dumps(status.message)
