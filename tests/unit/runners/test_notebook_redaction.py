"""Exact forms of a secret are masked in all that a notebook shows, and nothing else is; no result is changed."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import random
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from airflow_ml_provider.runners.notebook.cells import Cell
from airflow_ml_provider.runners.notebook.document import Ran, redact
from airflow_ml_provider.runners.notebook.main import of_environment, secret_in_result
from airflow_ml_provider.runners.notebook.outputs import Recorder
from airflow_ml_provider.runners.notebook.redaction import MASK, Redactor

CANARY = "kanarie-40c2/Xylo'f\"o+on é%"
KEY = base64.b64encode(bytes(range(64))).decode()
STORAGE = f"DefaultEndpointsProtocol=https;AccountName=saleslake;AccountKey={KEY};EndpointSuffix=core.windows.net"
WAYS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a sentence": lambda s: f"the key is{s}, keep it",
    "repr of a list": lambda s: repr([s]),
    "repr of bytes": lambda s: repr(s.encode()),
    "JSON": lambda s: json.dumps({"key": s}),
    "JSON in JSON": lambda s: json.dumps({"body": json.dumps({"key": s}, ensure_ascii=False)}),
    "URL": lambda s: f"https://host/?key={quote(s, safe='')}&x=1",
    "path of a URL": lambda s: f"https://host/{quote(s)}/x",
    "form": lambda s: f"key={quote_plus(s)}",
    "URL as .NET writes it": lambda s: quote(s, safe="").replace("%2F", "%2f").replace("%C3%A9", "%c3%a9").replace("%2B", "%2b"),
    "HTML": lambda s: f"<td>{html.escape(s)}</td>",
    "shell": lambda s: f"curl --user x {shlex.quote(s)}",
    "hex": lambda s: s.encode().hex(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 of a pair": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "base64 before others": lambda s: base64.b64encode(f"u:{s}:and more".encode()).decode(),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(f"us:{s}".encode()).decode(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_in_whole_texts(way: Callable[[str], str]) -> None:
    text = Redactor([CANARY])(way(CANARY))
    assert MASK in text
    assert len(text.replace(MASK, "")) <= len(way("")) + 4  # at most the characters of Base64 that it shares with its neighbours


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_in_a_log_that_is_written_in_pieces(way: Callable[[str], str], step: int) -> None:
    log = io.StringIO()
    recorder = Recorder(Redactor([CANARY]), log)
    shown = f"before\n{way(CANARY)}\nafter\n"
    for at in range(0, len(shown), step):
        recorder.text("stdout", shown[at : at + step])
    recorder.finish()
    assert log.getvalue() == f"before\n{Redactor([CANARY])(way(CANARY))}\nafter\n"


def test_only_what_may_be_a_secret_waits_for_the_rest_of_its_line() -> None:
    log = io.StringIO()
    recorder = Recorder(Redactor([CANARY]), log)
    recorder.text("stdout", "50 % done, kan")
    assert log.getvalue() == "50 % done, "
    recorder.text("stdout", "ban")
    assert log.getvalue() == "50 % done, kanban"


def test_across_cells_and_in_errors_and_in_json() -> None:
    cells = [Ran(Cell("python", "", ""), [{"output_type": "stream", "name": "stdout", "text": c}]) for c in CANARY]
    data = {
        "application/json": {"rows": [[CANARY]]},
        "image/svg+xml": f"<text>{html.escape(CANARY)}</text>",
        "text/plain": CANARY,
    }
    cells[-1].outputs.append({"output_type": "display_data", "data": data})
    cells[-1].outputs.append({"output_type": "error", "ename": "E", "evalue": CANARY, "traceback": ["a", f"E: {CANARY}"]})
    redact(cells, Redactor([CANARY]))
    outputs = [output for ran in cells for output in ran.outputs]
    assert "".join(str(output["text"]) for output in outputs[:-2]) == MASK
    assert outputs[-2]["data"] == {
        "application/json": {"rows": [[MASK]]},
        "image/svg+xml": f"<text>{MASK}</text>",
        "text/plain": MASK,
    }
    assert (outputs[-1]["evalue"], outputs[-1]["traceback"]) == (MASK, ["a", f"E: {MASK}"])


def test_ordinary_text_stays() -> None:
    redactor = Redactor([STORAGE, "abcd", "hunter2!"])
    for text in (
        "abfss://raw@saleslake.dfs.core.windows.net/default/2024",
        "abcd",
        "the default endpoints protocol is HTTPS; Hunter2!",
        "h-u-n-t-e-r-2-!",
    ):
        assert redactor(text) == text
    assert not Redactor([]).active
    assert Redactor(["pw123"])("it is pw123.") == f"it is {MASK}."
    assert Redactor(["secret", "secret-longer"])("secret-longer secret") == f"{MASK} {MASK}"


# The components' names are those of the vendors' documentation: learn.microsoft.com/azure/storage/common/storage-configure-connection-string,
# …/event-hubs/event-hubs-get-connection-string, …/storage/common/storage-sas-overview, kafka.apache.org (sasl.jaas.config),
# postgresql.org (libpq connection strings) and cloud.google.com/iam/docs/keys-create-delete.
@pytest.mark.parametrize(
    ("secret", "masked", "stays"),
    [
        (STORAGE, [KEY, STORAGE], ["saleslake", "core.windows.net", "https"]),
        (
            "Endpoint=sb://hub.servicebus.windows.net/;SharedAccessKeyName=RootManage;SharedAccessKey=c2VjcmV0LWtleQ==;EntityPath=orders",
            ["c2VjcmV0LWtleQ=="],
            ["hub.servicebus.windows.net", "RootManage", "orders"],
        ),
        ("?sv=2024-11-04&ss=b&sp=rl&sig=ab%2Bcd%2Fef%3D", ["ab%2Bcd%2Fef%3D", "ab+cd/ef="], ["2024-11-04"]),
        ("BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=2024&sig=abcdefg", ["abcdefg"], ["a.blob.core"]),
        ("mysql://reader:p%40ss-word@db.host:3306/sales", ["p%40ss-word", "p@ss-word"], ["reader", "db.host", "sales"]),
        ("host=db.host dbname=sales user=reader password='pass word'", [], ["db.host", "sales", "reader"]),
        ('PlainLoginModule required username="reader" password="pass-word";', ["pass-word"], ["PlainLoginModule", "reader"]),
        ("Server=db;Database=sales;User Id=reader;Password=pass&word;", ["pass&word"], ["sales", "reader"]),
        (
            json.dumps({"type": "service_account", "client_email": "me@x.iam", "private_key": "-----BEGIN KEY-----\nMIIEvQIB\nADANBg==\n"}),
            ["MIIEvQIB", "ADANBg==", "-----BEGIN KEY-----\nMIIEvQIB\nADANBg==\n"],
            ["service_account", "me@x.iam", "-----BEGIN KEY-----"],
        ),
    ],
)  # fmt: skip
def test_of_a_structured_secret_only_its_secret_parts_are_masked(secret: str, masked: list[str], stays: list[str]) -> None:
    redactor = Redactor([secret])
    assert redactor(secret) == MASK
    assert [redactor(text) for text in masked] == [MASK] * len(masked)
    assert [redactor(text) for text in stays] == stays


def test_a_cut_leaves_no_beginning_of_a_secret() -> None:
    redactor = Redactor([CANARY])
    text = "x" * 90 + CANARY + "y" * 90
    assert all("kan" not in redactor.shortened(text, limit) for limit in range(60, 180))


def test_a_result_without_a_secret_is_fine() -> None:
    path = "abfss://raw@saleslake.dfs.core.windows.net/default/2024"
    assert not secret_in_result(path, {"path": path, "rows": [1, 2.5, None, True, {"a": path}]}, Redactor([STORAGE]))
    assert not secret_in_result(None, {"ratio": 0.123451}, Redactor(["12345"]))


@pytest.mark.parametrize(
    ("value", "values", "said"),
    [
        (f"key {KEY}", {}, "the exit value contains a secret"),
        (json.dumps({"c": STORAGE}), {}, "the exit value contains a secret"),
        (None, {"fine": 1, "leak": [{"key": STORAGE}]}, "the task value 'leak' contains a secret"),
        (None, {KEY: 1}, f"the task value '{MASK}' contains a secret"),
        (None, {"pin": 12345678}, "the task value 'pin' contains a secret"),
    ],
)
def test_a_result_with_a_secret_is_named(value: str | None, values: dict[str, object], said: str) -> None:
    message = secret_in_result(value, values, Redactor([STORAGE, "12345678"]))
    assert said in message
    assert KEY not in message


def test_secrets_of_the_environment_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass-word-1")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-t0ken")
    monkeypatch.setenv("SPARK_REMOTE", "sc://localhost:15002/;token=abc-def-ghi;user_id=airflow")
    shown = Redactor(of_environment())(
        "http://mlflow:5000 pass-word-1 t0ken-t0ken sc://localhost:15002/;token=abc-def-ghi;user_id=airflow"
    )
    assert shown == f"http://mlflow:5000 {MASK} {MASK} sc://localhost:15002/;token={MASK};user_id=airflow"


def test_secrets_that_overlap_in_pieces_of_any_size() -> None:
    chance = random.Random(7)
    for _ in range(800):
        secrets = ["".join(chance.choices("ab", k=chance.randint(5, 8))) for _ in range(3)]
        text = "".join(chance.choice([*"aabbc\n", *secrets]) for _ in range(chance.randint(0, 30)))
        redactor, log = Redactor(secrets), io.StringIO()
        cuts = sorted(chance.choices(range(len(text) + 1), k=5))
        pieces = [text[at:to] for at, to in itertools.pairwise([0, *cuts, len(text)])]
        assert "".join(redactor.all(pieces)) == redactor(text)
        recorder = Recorder(redactor, log)
        for piece in pieces:
            recorder.text("stdout", piece)
        recorder.finish()
        assert not [secret for secret in secrets if secret in log.getvalue()], (secrets, pieces)
        assert all(redactor(text).startswith(redactor.shortened(text, limit)) for limit in range(len(text)))
