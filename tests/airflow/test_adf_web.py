"""Activities that speak HTTP, with a real server on loopback; and what a secure policy keeps from being seen."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import uvicorn
from cryptography.fernet import Fernet

from airflow_ml_provider.hooks import callbacks as hooks_callbacks
from airflow_ml_provider.plugins.callbacks import callbacks
from tests.airflow.conftest import Run, forget_key
from tests.airflow.test_adf_activities import activity, copied, dataset, lake
from tests.airflow.test_adf_control import check, expression, put
from tests.airflow.test_adf_semantics import after, good, pipeline
from tests.processes import eventually
from tests.servers.tls import certificate, proxy

__all__ = ["lake", "pipeline"]
SECRET, ANSWER = "secret-question-81f3", "secret-answer-77aa"
LOGIN = "login.microsoftonline.com"
SIGN_IN: dict[str, Any] = {
    "instance": {"tenant_discovery_endpoint": f"https://{LOGIN}/a-tenant/v2.0/.well-known/openid-configuration", "metadata": []},
    "openid-configuration": {
        "authorization_endpoint": f"https://{LOGIN}/a-tenant/oauth2/v2.0/authorize",
        "token_endpoint": f"https://{LOGIN}/a-tenant/oauth2/v2.0/token",
        "issuer": f"https://{LOGIN}/a-tenant/v2.0",
    },
}
"""What Microsoft's sign-in tells of itself, by the end of the path."""


class Server(ThreadingHTTPServer):
    """Answers by path, and keeps what it was asked: method, path, headers in lower case, body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.other = ""
        self.url = f"http://127.0.0.1:{self.server_port}"

    def of(self, path: str) -> list[tuple[str, str, dict[str, str], str]]:
        return [one for one in self.asked if one[1].partition("?")[0] == path]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        status, headers, text = self._told(path, body)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def _told(self, path: str, body: str) -> tuple[int, dict[str, str], str]:
        if path == "/hook":
            asked = json.loads(body)
            threading.Thread(
                target=lambda: httpx.post(asked["callBackUri"], json=asked["tell"], timeout=120).raise_for_status()
            ).start()
        if path == "/slow":
            return 202, {"Location": "/done", "Retry-After": "0"}, "{}"
        if path == "/moved":
            return 202, {"Location": f"{self.server.other}/done", "Retry-After": "0"}, "{}"
        if path == "/a-tenant/oauth2/v2.0/token":
            known = dict(parse_qsl(body)).get("client_secret") == SECRET
            token = {"token_type": "Bearer", "expires_in": 3600, "access_token": "token-of-the-principal"}
            refused = {"error": "invalid_client", "error_description": "AADSTS7000215: no such secret"}
            return (200 if known else 401), {"Content-Type": "application/json"}, json.dumps(token if known else refused)
        if path == "/msi/token":
            token = {"access_token": "token-of-the-worker", "expires_on": "4102444800", "resource": "r", "token_type": "Bearer"}
            return 200, {"Content-Type": "application/json"}, json.dumps(token)
        if found := SIGN_IN.get(path.rpartition("/")[2]):
            return 200, {"Content-Type": "application/json"}, json.dumps(found)
        if path == "/missing":
            return 404, {}, f"there is no {SECRET}"
        if path == "/pages":
            first = {"value": [{"id": 1}, {"id": 2}], "@next": f"{self.server.url}/pages?after=2"}
            return 200, {}, json.dumps({"value": [{"id": 3}]} if "after" in self.path else first)
        if path == "/text":
            return 200, {}, "a,b\n1,2\n"
        return 200, {"Content-Type": "application/json"}, json.dumps({"path": path, "answer": ANSWER})

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *args: Any) -> None:
        """Nothing: a test's output is the tasks'."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def fernet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An Airflow with a key."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    forget_key()
    yield
    forget_key()


def test_web_activities(
    pipeline: Callable[..., Run], tmp_path: Path, lake: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FUNCTIONS", json.dumps({"conn_type": "http", "host": server.url, "password": "key-1"}))
    monkeypatch.setenv("AIRFLOW_CONN_SITE", json.dumps({"conn_type": "http", "host": server.url}))
    monkeypatch.setenv("AIRFLOW_CONN_127_0_0_1", json.dumps({"conn_type": "http", "extra": {"X-From": "the connection"}}))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "here")
    folder, place = tmp_path / "dataset", {"type": "HttpServerLocation", "relativeUrl": "/text"}
    site = dataset(folder, "site", "Binary", "site", location=place)
    kept = dataset(folder, "kept", "Binary", "the lake", location={"fileName": "text.csv"})
    pages = dataset(folder, "pages", "RestResource", "site", relativeUrl="/pages")
    table = dataset(folder, "rows", "AzureSqlTable", "the db", table="rows")
    new, ids = {"tableOption": "autoCreate"}, [{"source": {"path": "['id']"}, "sink": {"name": "id"}}]
    inside = {"type": "TabularTranslator", "collectionReference": "$['value']", "mappings": ids}
    login = {"type": "Basic", "username": "me", "password": "mine"}
    identity = {"type": "MSI", "resource": "https://management.azure.com/"}
    ask = {"method": "POST", "body": {"day": "@pipeline().Pipeline"}, "headers": {"X-Day": "1"}}
    done = pipeline(
        "web",
        activity("basic", "WebActivity", url=f"{server.url}/basic?a=b%20c", authentication=login, **ask),
        activity("msi", "WebActivity", url=f"{server.url}/msi", method="GET", authentication=identity),
        activity("slow", "WebActivity", url=f"{server.url}/slow", method="PUT", body="text"),
        activity("once", "WebActivity", url=f"{server.url}/slow", method="PUT", body="text", turnOffAsync=True),
        activity("missing", "WebActivity", url=f"{server.url}/missing", method="GET"),
        {
            **activity("function", "AzureFunctionActivity", after("missing", "Failed"), functionName="f/x?y=1", method="GET"),
            "linkedServiceName": {"referenceName": "functions"},
        },
        copied("download", site, kept, after("function")),
        copied("pages", pages, table, source={"paginationRules": {"AbsoluteUrl": "$['@next']"}}, sink=new, translator=inside),
    )
    check(done)
    records = {name: done.xcom(name, "adf_record") for name in ("basic", "slow", "once", "missing")}
    ((method, path, headers, body),) = server.of("/basic")
    assert (method, path, json.loads(body)) == ("POST", "/basic?a=b%20c", {"day": "web"})
    assert headers["authorization"] == f"Basic {base64.b64encode(b'me:mine').decode()}"
    assert (headers["x-day"], headers["x-from"], headers["content-type"]) == ("1", "the connection", "application/json")
    assert records["basic"]["output"]["answer"] == ANSWER
    assert server.of("/msi")[0][2]["authorization"] == "Bearer token-of-the-worker"
    assert (records["slow"]["output"]["path"], len(server.of("/done"))) == ("/done", 1)
    assert "path" not in records["once"]["output"]
    assert records["missing"]["error"]["errorCode"] == "404"
    assert server.of("/api/f/x")[0][2]["x-functions-key"] == "key-1"
    pages = done.xcom("pages", "adf_record")["output"]
    assert (pages["rowsRead"], pages["rowsCopied"]) == (3, 3)
    assert [path for _, path, _, _ in server.of("/pages")] == ["/pages", "/pages?after=2"]
    assert (lake / "text.csv").read_text() == "a,b\n1,2\n"


def test_a_service_principal_signs_in(
    pipeline: Callable[..., Run], server: Server, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    """Azure's own library against a server under the name of Microsoft's sign-in, by TLS."""
    principal = {
        "type": "ServicePrincipal",
        "userTenant": "a-tenant",
        "username": "an-app",
        "resource": "https://vault.azure.net/",
    }
    monkeypatch.setenv("AIRFLOW_VAR_APP_KEY", SECRET)
    vault = {"type": "AzureKeyVaultSecret", "store": {"referenceName": "kv"}, "secretName": "APP_KEY"}
    with certificate(LOGIN) as shown, proxy(server.server_port, shown) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(shown.cert))
        done = pipeline(
            "principals",
            activity(
                "known", "WebActivity", url=f"{server.url}/known", method="GET", authentication={**principal, "password": vault}
            ),
            activity(
                "wrong", "WebActivity", url=f"{server.url}/wrong", method="GET", authentication={**principal, "password": "x"}
            ),
            good("caught", after("wrong", "Failed")),
        )
    check(done)
    assert [headers["authorization"] for _, _, headers, _ in server.of("/known")] == ["Bearer token-of-the-principal"]
    asked = dict(parse_qsl(server.of("/a-tenant/oauth2/v2.0/token")[0][3]))
    assert (asked["client_id"], asked["grant_type"]) == ("an-app", "client_credentials")
    assert asked["scope"] == "https://vault.azure.net/.default"
    assert not server.of("/wrong")
    assert "AADSTS7000215" in done.xcom("wrong", "adf_record")["error"]["message"]
    assert SECRET not in log() + json.dumps([str(one) for one in done.xcoms().items()])


def test_a_webhook_waits_until_it_is_called_back(
    pipeline: Callable[..., Run], server: Server, monkeypatch: pytest.MonkeyPatch, fernet: None
) -> None:
    config = uvicorn.Config(callbacks, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    airflow = uvicorn.Server(config)
    thread = threading.Thread(target=airflow.run, daemon=True)
    thread.start()
    eventually(lambda: airflow.started, within=20)
    port = airflow.servers[0].sockets[0].getsockname()[1]

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AIRFLOW__AIRFLOW_ML_PROVIDER__CALLBACKS", "True")
    monkeypatch.setattr(hooks_callbacks, "PAGES", "")
    refused = {"StatusCode": "403", "Error": {"ErrorCode": "77", "Message": "not today"}}
    done = pipeline(
        "hooks",
        activity("well", "WebHook", url=f"{server.url}/hook", method="POST", body={"tell": {"rows": 3}}, timeout="00:10:00"),
        activity(
            "badly", "WebHook", url=f"{server.url}/hook", method="POST", body={"tell": refused}, reportStatusOnCallBack=True
        ),
        activity("never", "WebHook", url=f"{server.url}/x", method="POST", body={}, timeout="00:00:01"),
        put(
            "n",
            "all",
            expression("@createArray(activity('well').output.rows, activity('badly').error.message)"),
            after("well"),
            after("badly", "Failed"),
            after("never", "Failed"),
        ),
        put(
            "answer",
            "pipelineReturnValue",
            [{"key": "all", "value": {"type": "Expression", "content": "@variables('all')"}}],
            after("n"),
        ),
        variables={"all": {"type": "Array"}},
    )
    check(done)
    assert done.xcom("pipeline_end") == {"all": [3, "not today"]}
    assert "nobody has called back within 1 s" in done.xcom("never", "adf_record")["error"]["message"]
    address = json.loads(server.of("/hook")[0][3])["callBackUri"]
    assert httpx.post(address, json={"rows": 4}, timeout=120).status_code == 404
    assert httpx.post(address[:-8] + "AAAAAAA=", json={}, timeout=120).status_code == 404
    airflow.should_exit = True
    thread.join(10)


def test_a_secure_policy_shows_nothing(
    pipeline: Callable[..., Run], server: Server, fernet: None, log: Callable[[], str]
) -> None:
    secure = {"policy": {"secureInput": True, "secureOutput": True}}
    got = expression("@activity('ask').output.answer")
    call = {"method": "POST", "headers": {"X-Key": SECRET}}
    failing = f"http://127.0.0.1:1/x?code={SECRET}"
    done = pipeline(
        "secure",
        {**activity("ask", "WebActivity", url=f"{server.url}/x?code={SECRET}", body=SECRET, **call), **secure},
        {**activity("refused", "WebActivity", url=f"{server.url}/missing", **call), **secure},
        {**activity("unreached", "WebActivity", url=failing, **call), **secure},
        {**put("keep", "kept", got, after("ask"), after("refused", "Failed"), after("unreached", "Failed")), **secure},
        {**activity("use", "WebActivity", after("keep"), url=f"{server.url}/use", body="@variables('kept')", **call), **secure},
        variables={"kept": {"type": "String"}},
    )
    shown = log()
    check(done)
    assert server.of("/x")[0][3] == SECRET
    assert server.of("/use")[0][3] == ANSWER
    assert done.xcom("unreached", "adf_record").keys() == {"status", "facts", "sealed"}
    seen = shown + json.dumps([str(one) for one in done.xcoms().items()])
    assert not [task for task in done.dag.tasks if task.template_fields]
    assert "its error is in activity('unreached').error alone" in shown
    assert SECRET not in seen
    assert ANSWER not in seen


def test_a_login_goes_to_no_other_server(pipeline: Callable[..., Run], server: Server) -> None:
    """A 202 is asked for again where its ``Location`` says ("Web activity", asynchronous requests); its login is for the activity's address."""
    basic = {"type": "Basic", "username": "me", "password": "word-of-mine"}
    with Server() as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        server.other = other.url
        asked = {"method": "POST", "body": "{}", "authentication": basic}
        done = pipeline(
            "polls",
            activity("here", "WebActivity", url=f"{server.url}/slow", **asked),
            activity("there", "WebActivity", url=f"{server.url}/moved", **asked),
        )
        other.shutdown()
    check(done)
    logins = [
        {"authorization" in headers for _, _, headers, _ in one.of(path)} for one, path in ((server, "/done"), (server, "/moved"))
    ]
    assert (logins, [headers.get("authorization") for _, _, headers, _ in other.of("/done")]) == ([{True}, {True}], [None])
