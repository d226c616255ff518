"""Run other people's programs (pip, uv, a JVM) in a clean environment, within a time limit, and sort their failures."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from airflow_ml_provider.core.errors import CapacityError, ConfigurationError, ProviderError, Unavailable
from airflow_ml_provider.core.fields import without_logins

T = TypeVar("T")

INSTALL_LIMIT = 1800.0
"""Seconds that an installation may take."""
_KEPT = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "JAVA_HOME"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "NETRC", "SSH_AUTH_SOCK", "SOURCE_DATE_EPOCH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NIX_SSL_CERT_FILE"),
        # For what is compiled while it is installed.
        *("CC", "CXX", "AR", "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "PKG_CONFIG_PATH", "MAKEFLAGS"),
        # Marks every process of a job of the local backend, which ends them all by it.
        "AIRFLOW_ML_JOB",
    )
)
_KEPT_BEGINNINGS = ("LC_", "PIP_", "UV_", "XDG_")
_KEPT_IN_ANY_CASE = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"))
_OTHER_INDEXES = ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX")
_LAST_LINES, _LAST_REASONS = 12, 3
_FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_UNREACHABLE = re.compile(
    # What pip (urllib3), uv (reqwest) and Ivy (Java) say when an index does not answer, or answers with an error of its own.
    r"connection broken by|Max retries exceeded|Retrying \(Retry\(|NewConnectionError|ConnectTimeoutError|ReadTimeout|ProxyError"
    r"|Connection(?: was)? (?:refused|reset|aborted|timed out|closed)|Temporary failure in name resolution|Name or service not known"
    r"|problem confirming the ssl certificate|SSLError|SSLHandshakeException|Network is unreachable|No route to host"
    r"|error sending request|client error \(Connect\)|dns error|operation timed out|Request failed after \d+ retries"
    r"|connection error|timed out|IncompleteRead|tls handshake|invalid peer certificate"
    r"|Server access error|UnknownHostException|ConnectException|SocketTimeoutException|NoRouteToHostException|SocketException"
    r"|HTTP status server error|\b(?:429|50[0-4]) (?:Server Error|Client Error|Too Many|Internal|Bad Gateway|Service|Gateway)"
    r"|HTTP error (?:429|50\d)|too many 5\d\d error responses|(?:status|response)(?: code)?:? '?(?:429|50[0-4])\b",
    re.IGNORECASE,
)


def clean_environment(environ: Mapping[str, str], *, also: Sequence[str] = (), other_indexes: bool = True) -> dict[str, str]:
    """The variables that a foreign program needs: none of Airflow's, and no secret that is not pip's or uv's own.

    :param also: beginnings of further names.
    :param other_indexes: keep the package indexes that are looked at beside the main one.
    """
    kept = {
        key: value
        for key, value in environ.items()
        if key in _KEPT or key.upper() in _KEPT_IN_ANY_CASE or key.startswith((*_KEPT_BEGINNINGS, *also))
    }
    return kept if other_indexes else {key: value for key, value in kept.items() if key not in _OTHER_INDEXES}


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str], seconds: float, cwd: Path | None = None
) -> tuple[int, str, str]:
    """The exit code of a program and what it wrote to its two outputs. Nothing of it is left after the time limit.

    :param env: all its variables: :func:`clean_environment`.
    :raises ConfigurationError: the program cannot be started.
    :raises Unavailable: the time limit has passed.
    """
    pipes: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "errors": "replace",
    }
    # In a process group of its own, so that what it has started ends with it, but in this session, by which a job's processes are known.
    try:
        started = subprocess.Popen(list(map(str, command)), env=dict(env), cwd=cwd, text=True, process_group=0, **pipes)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise ConfigurationError(f"{command[0]} cannot be started: {error.strerror}") from error
    with started as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise Unavailable(f"{Path(command[0]).name} did not end within {seconds:g} s") from None
        except BaseException:
            _kill(process)
            raise
        return process.returncode, out, err


def install(
    what: str, command: Sequence[str | Path], *, env: Mapping[str, str], seconds: float = INSTALL_LIMIT, cwd: Path | None = None
) -> str:
    """Run a program that installs packages, and return what it wrote to its standard output.

    :param what: the beginning of the error's message.
    :raises ConfigurationError: what was asked for cannot be had; the message holds the program's last lines.
    :raises CapacityError: this machine has no room for it.
    :raises Unavailable: an index cannot be reached, or the time limit has passed.
    """
    try:
        code, out, err = run(command, env=env, seconds=seconds, cwd=cwd)
    except Unavailable as error:
        raise Unavailable(f"{what}: {error}") from None
    if code:
        raise failure(what, out + err)
    return out


def failure(what: str, said: str) -> ProviderError:
    """The error for what a program said before it failed, with its last lines, and without names and passwords in URLs."""
    lines = [line for line in without_logins(said).strip().splitlines() if line.strip() and not line.startswith("\tat ")]
    if _FULL.search(said):
        return CapacityError("\n".join([f"{what}: this machine has no room left:", *lines[-_LAST_LINES:]]))
    if unreachable := [line.strip() for line in lines if _UNREACHABLE.search(line)]:
        return Unavailable("\n".join([f"{what}: a package index cannot be reached:", *unreachable[-_LAST_REASONS:]]))
    return ConfigurationError("\n".join([f"{what}:", *lines[-_LAST_LINES:]]))


def patiently(call: Callable[[], T], *, seconds: float = 120.0, pause: float = 2.0, check: Callable[[], None] | None = None) -> T:
    """Make a call again after each passing fault, until it succeeds or the time has passed.

    :param check: is called before each attempt, and ends the wait by raising.
    """
    end = time.monotonic() + seconds
    while True:
        if check:
            check()
        try:
            return call()
        except Unavailable:
            if time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 30.0)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
