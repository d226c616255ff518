"""Git sources at run time: one commit per DAG run, one fetch per commit and machine.

Under ``$AIRFLOW_HOME/git`` (``$AIRFLOW_ML_GIT`` names another folder) lie, for each repository, a lock, a bare repository that is
fetched into and one checked-out folder per commit; and under ``pins`` the commit of each DAG run's refs. A file decides because
XComs are wiped at each retry, and neither Airflow's variables nor MLflow's tags can be made by one of many tasks only. Workers on
several machines agree on a branch's commit when they share this folder; on a whole commit they always agree.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from airflow_ml_provider.core.errors import ConfigurationError, Unavailable
from airflow_ml_provider.core.git import GitSource, commit_of
from airflow_ml_provider.core.tools import clean_environment

log = logging.getLogger(__name__)
_LIMIT = 600.0
_KEEP = 30 * 24 * 3600.0
_DENIED = (
    *("authentication failed", "permission denied", "could not read username", "could not read password", "access denied"),
    *("host key verification failed", "returned error: 403", "returned error: 401"),
)
_ABSENT = ("not found", "does not exist", "does not appear to be a git repository", "returned error: 404")


def checked_out(source: GitSource, run_key: str) -> tuple[Path, str]:
    """The folder that holds the source's files, and the commit.

    :param run_key: identity of the DAG run.
    :raises SpecError: there is no such ref.
    :raises ConfigurationError: the repository is not there, or the connection does not open it.
    :raises Unavailable: it did not answer.
    """
    with _locked(_home() / source.key) as folder:
        commit = source.ref if source.is_commit else _pinned(source, run_key)
        place = folder / commit
        if not place.is_dir():
            _fetch(source, folder, commit)
        os.utime(place)
        return place, commit


def _home() -> Path:
    named = os.environ.get("AIRFLOW_ML_GIT")
    return Path(named) if named else Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser() / "git"


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """The folder, for one task at a time."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _pinned(source: GitSource, run_key: str) -> str:
    """The commit of the ref in this DAG run: whoever asks first resolves it."""
    pin = _home() / "pins" / run_key / f"{source.key}-{source.ref.replace('/', '%')}"
    with contextlib.suppress(FileNotFoundError):
        return pin.read_text()
    commit, name = commit_of(source, _remote_refs(source))
    log.info("%s of %s is commit %s for this DAG run", name, source.shown, commit)
    pin.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=pin.parent, delete=False) as fresh:
        fresh.write(commit)
    with contextlib.suppress(FileExistsError):  # a task on another machine was first
        os.link(fresh.name, pin)
    os.unlink(fresh.name)
    return pin.read_text()


def _remote_refs(source: GitSource) -> dict[str, str]:
    with _signed_in(source) as env:
        listed = _git(source, "ls-remote", "--heads", "--tags", source.url, env=env).decode()
    pairs = (line.split("\t") for line in listed.splitlines() if "\t" in line)
    return {name: commit for commit, name in pairs}


def _fetch(source: GitSource, folder: Path, commit: str) -> None:
    """Make the folder of a commit, with nothing of its history where the server gives single commits."""
    store = folder / "repository.git"
    if not store.is_dir():
        _git(source, "init", "--quiet", "--bare", str(store), env=_environment())
    into = ("--git-dir", str(store))
    with _signed_in(source) as env:
        try:
            _git(source, *into, "fetch", "--quiet", "--no-tags", "--depth=1", source.url, commit, env=env)
        except ConfigurationError:
            raise
        except Unavailable:
            whole = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            _git(source, *into, "fetch", "--quiet", source.url, *whole, env=env)
    packed = _git(source, *into, "archive", "--format=tar", commit, env=_environment())
    fresh = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(fresh, filter="data")
    os.rename(fresh, folder / commit)
    _forget_old(folder)
    _forget_old(_home() / "pins")


def _forget_old(folder: Path) -> None:
    """Remove the folders that nobody used for a month."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.suffix != ".git" and time.time() - path.stat().st_mtime > _KEEP:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _signed_in(source: GitSource) -> Iterator[Mapping[str, str]]:
    """The environment in which Git signs in as the source's connection says; Git itself never asks anybody."""
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    if source.conn_id is None:
        yield {**_environment(), "GIT_SSH_COMMAND": "ssh -o BatchMode=yes", **quiet}
        return
    try:
        from airflow.providers.git.hooks.git import GitHook
    except ImportError as error:
        fix = 'pip install "airflow-ml-provider[git]"'
        raise ConfigurationError(f"the Git provider cannot be loaded ({error}): {fix}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about defaults of the connection, which are the provider's to explain
        hook = GitHook(git_conn_id=source.conn_id, repo_url=source.url)
    with hook.configure_hook_env():
        yield {**_environment(), **hook.env, **quiet}


def _environment() -> dict[str, str]:
    return clean_environment(os.environ, also=("GIT_", "SSH_"))


def _git(source: GitSource, *arguments: str, env: Mapping[str, str]) -> bytes:
    """Run Git and return what it says; its errors as ours."""
    limits = {"stdin": subprocess.DEVNULL, "timeout": _LIMIT}
    try:
        done = subprocess.run(["git", *arguments], env=dict(env), capture_output=True, check=False, **limits)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise ConfigurationError("Git sources need the program git on the worker: install it") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git: {source.shown} did not answer in {_LIMIT:g} s") from None
    if done.returncode:
        _raise(source, done.stderr.decode(errors="replace").strip())
    return bytes(done.stdout)


def _raise(source: GitSource, said: str) -> None:
    lower = said.lower()
    if any(words in lower for words in _DENIED):
        who = f"connection {source.conn_id!r}" if source.conn_id else "nobody (conn_id is None)"
        raise ConfigurationError(f"GitSource {source.shown}: {who} may not read it: {said}")
    if any(words in lower for words in _ABSENT):
        raise ConfigurationError(f"GitSource.url: got {source.shown!r}: {said}")
    raise Unavailable(f"git: {source.shown}: {said}")
