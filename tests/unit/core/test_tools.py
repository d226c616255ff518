"""Foreign programs: a clean environment, a time limit for all that they start, and failures sorted by whether they pass."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from airflow_ml_provider.backends.local import libraries
from airflow_ml_provider.core import tools
from airflow_ml_provider.core.errors import CapacityError, ConfigurationError, Unavailable
from tests.processes import eventually

PACKAGE = Path(tools.__file__).parents[1]
SECRETS = {
    "AIRFLOW__CORE__FERNET_KEY": "canary",
    "AIRFLOW_CONN_DB": "postgres://user:canary@host",
    "_AIRFLOW_X": "canary",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "DATABASE_PASSWORD": "canary",
    "MLFLOW_TRACKING_PASSWORD": "canary",
    "SPARK_REMOTE": "sc://localhost/;token=canary",
    "PYTHONPATH": "/canary",
}
NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/a",
    "LC_ALL": "C.UTF-8",
    "https_proxy": "http://proxy:3128",
    "NO_PROXY": "localhost",
    "SSL_CERT_FILE": "/ca.pem",
    "PIP_INDEX_URL": "https://index/simple",
    "UV_DEFAULT_INDEX": "https://index/simple",
    "AIRFLOW_ML_JOB": "j-1",
}


def test_a_clean_environment_has_what_tools_need_and_no_secret() -> None:
    assert tools.clean_environment({**SECRETS, **NEEDED}) == NEEDED
    assert tools.clean_environment({"GIT_X": "1", "SSH_X": "2"}, also=("GIT_",)) == {"GIT_X": "1"}
    extra = {"PIP_EXTRA_INDEX_URL": "a", "UV_EXTRA_INDEX_URL": "b", "UV_INDEX": "c"}
    assert tools.clean_environment({**NEEDED, **extra}, other_indexes=False) == NEEDED


def build_hook(folder: Path) -> Path:
    """A project whose build, which pip runs, notes the variables that it sees."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "seen"\nversion = "1"\n'
    )
    (folder / "backend.py").write_text(
        "import json, os, pathlib, zipfile\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        f"    pathlib.Path({str(folder / 'seen.json')!r}).write_text(json.dumps(dict(os.environ)))\n"
        "    name = 'seen-1-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(os.path.join(folder, name), 'w') as made:\n"
        "        made.writestr('seen-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: seen\\nVersion: 1\\n')\n"
        "        made.writestr('seen-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "        made.writestr('seen-1.dist-info/RECORD', '')\n"
        "    return name\n"
    )
    return folder


def test_build_code_that_pip_runs_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    project = build_hook(tmp_path / "project")
    asked = {"kind": "pypi", "requirement": f"seen @ {project.as_uri()}", "index_url": None}
    libraries.python_with(tmp_path / "cache", sys.executable, [asked])
    seen = json.loads((project / "seen.json").read_text())
    assert seen["PATH"]
    assert not {key for key, value in seen.items() if "canary" in value}
    assert not {key for key in seen if key.startswith("AIRFLOW")}


def test_nothing_is_left_after_the_time_limit(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {note}; wait"
    with pytest.raises(Unavailable, match=r"libraries: sh did not end within 2 s"):
        tools.install("libraries", ["sh", "-c", script], env=tools.clean_environment(os.environ), seconds=2)
    child = int(eventually(lambda: note.exists() and note.read_text()))
    eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_program_that_is_missing_is_an_error_of_ours() -> None:
    with pytest.raises(ConfigurationError, match=r"/nowhere/python cannot be started: No such file or directory"):
        tools.run(["/nowhere/python"], env={}, seconds=1)


PIP_REFUSED = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by "
    "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object>: Failed to establish a new connection: [Errno 111] "
    "Connection refused')': /simple/holidays/\nERROR: Could not find a version that satisfies the requirement holidays (from versions: "
    "none)\nERROR: No matching distribution found for holidays"
)
PIP_ABSENT = (
    "ERROR: Could not find a version that satisfies the requirement nowhere==1 (from versions: none)\n"
    "ERROR: No matching distribution found for nowhere==1"
)
UV_REFUSED = (
    "error: Failed to fetch: https://index/simple/holidays/\n  cause: error sending request for url (https://index/simple/holidays/)\n"
    "  cause: client error (Connect)\n  cause: tcp connect error\n  cause: Connection refused (os error 111)"
)
UV_DNS = "error: Request failed after 3 retries in 11.0s\n  cause: dns error\n  cause: Name or service not known"
UV_503 = "error: Failed to fetch: https://index/x/\n  cause: HTTP status server error (503 Service Unavailable) for url (https://index/x/)"
UV_404 = "error: Failed to fetch: https://index/x/\n  cause: HTTP status client error (404 Not Found) for url (https://index/x/)"
UV_ABSENT = (
    "error: No solution found when resolving dependencies\n  cause: Because nowhere was not found in the package registry and you "
    "require nowhere==1, we can conclude that your requirements are unsatisfiable."
)
IVY_REFUSED = (
    "\t\tServer access error at url https://repo1.maven.org/maven2/a/b/1/b-1.pom (java.net.ConnectException: Connection refused)\n"
    "\t\t::::::::::::::::::::::::::::::::::::::::::::::\n\t\t:: UNRESOLVED DEPENDENCIES\n\t\t:: a#b;1: not found"
)
IVY_ABSENT = "\t\t::          UNRESOLVED DEPENDENCIES         ::\n\t\t:: a#b;1: not found\nException: unresolved dependency: a#b;1: not found"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (PIP_REFUSED, Unavailable),
        (PIP_ABSENT, ConfigurationError),
        ("ERROR: HTTP error 503 while getting https://index/holidays.whl", Unavailable),
        ("ERROR: HTTP error 404 while getting https://index/holidays.whl", ConfigurationError),
        (
            "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out.",
            Unavailable,
        ),
        ("Could not fetch URL https://i/: There was a problem confirming the ssl certificate: x - skipping", Unavailable),
        (UV_REFUSED, Unavailable),
        (UV_DNS, Unavailable),
        (UV_503, Unavailable),
        (UV_404, ConfigurationError),
        (UV_ABSENT, ConfigurationError),
        (IVY_REFUSED, Unavailable),
        (IVY_ABSENT, ConfigurationError),
        ("OSError: [Errno 28] No space left on device", CapacityError),
    ],
)
def test_failures_are_sorted_by_what_pip_uv_and_ivy_say(said: str, kind: type[Exception]) -> None:
    """The words are those of pip 25, uv 0.13 and Ivy 2.5, as each wrote them."""
    assert type(tools.failure("libraries", said)) is kind


def test_an_error_shows_no_password() -> None:
    said = "ERROR: cannot read https://user:canary@index/simple and git+ssh://git:canary@host/x"
    assert str(tools.failure("libraries", said)) == "libraries:\nERROR: cannot read https://index/simple and git+ssh://host/x"


def test_a_passing_fault_is_waited_for() -> None:
    faults = [Unavailable("a"), Unavailable("b")]

    def call() -> str:
        if faults:
            raise faults.pop()
        return "made"

    assert tools.patiently(call, pause=0.001) == "made"
    faults.extend([Unavailable("c")] * 1000)
    with pytest.raises(Unavailable, match="c"):
        tools.patiently(call, seconds=0.0)
    checks = iter([None, KeyError("ended")])

    def check() -> None:
        if error := next(checks):
            raise error

    with pytest.raises(KeyError, match="ended"):
        tools.patiently(call, pause=0.001, check=check)


def test_every_program_that_airflows_processes_wait_for_has_a_time_limit() -> None:
    without = []
    for path in PACKAGE.rglob("*.py"):
        if "runners" in path.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.run", "subprocess.check_output", "urlopen"):
                names = {keyword.arg for keyword in node.keywords}
                if not names & {"timeout", None}:
                    without.append(f"{path.name}:{node.lineno}")
    assert without == []
