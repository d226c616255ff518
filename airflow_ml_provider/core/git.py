"""Where programs come from when they come from Git. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, field_validator

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.fields import Spec

_SCP = re.compile(r"[\w.-]+@[\w.-]+:[^\s]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PAGE = re.compile(r"/(tree|blob|src|commits?)/")
_SCHEMES = ("https", "http", "ssh", "file")
_TAKES = "takes the address to clone from, such as https://github.com/org/repo.git, git@bitbucket.org:org/repo.git or "
_AZURE = "https://org@dev.azure.com/org/project/_git/repo"


class GitSource(Spec):
    """A Git repository at a branch, tag or commit. Paths of a program start at its top.

    A branch is resolved once per DAG run: every task and every retry of the run uses the same commit.

    :param url: the address to clone from, as GitHub, Bitbucket and Azure Repos write it, by ``https`` or ``ssh``.
    :param ref: a branch, a tag or a whole commit; ``refs/heads/…`` or ``refs/tags/…`` where a branch and a tag have one name.
    :param conn_id: the connection of the official Git provider that signs in; None signs in nowhere.
    """

    url: str
    ref: str = Field(default="main", pattern=r"^[^\s~^:?*\[\\-][^\s~^:?*\[\\]*$")
    conn_id: str | None = None

    @field_validator("url")
    @classmethod
    def _can_be_cloned(cls, url: str) -> str:
        url = url.strip().rstrip("/")
        if _SCP.fullmatch(url) or url.startswith("/"):
            return url
        parts = urlsplit(url)
        if parts.password:
            raise SpecError("GitSource.url: holds a password: put it into a connection, and name that in conn_id")
        if parts.scheme not in _SCHEMES or not parts.path.strip("/"):
            raise ValueError(_TAKES + _AZURE)
        if _PAGE.search(parts.path) and not parts.path.endswith(".git"):
            raise ValueError(f"is the address of a page: {_TAKES}{_AZURE}, and the branch as ref")
        return url

    @property
    def is_commit(self) -> bool:
        """True when there is nothing to resolve."""
        return _COMMIT.fullmatch(self.ref) is not None

    @property
    def key(self) -> str:
        """The repository's identity: 24 hexadecimal digits."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:24]

    @property
    def shown(self) -> str:
        """The address without the name of who signs in."""
        if _SCP.fullmatch(self.url) or self.url.startswith("/"):
            return self.url
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.scheme != "ssh" else self.url


def commit_of(source: GitSource, refs: Mapping[str, str]) -> tuple[str, str]:
    """The commit that the ref means, and the ref's full name.

    :param refs: commits by full name as ``git ls-remote`` lists them, tags' own commits with ``^{}``.
    :raises SpecError: there is no such branch or tag, or there are both.
    """
    names = [source.ref] if source.ref.startswith("refs/") else [f"refs/heads/{source.ref}", f"refs/tags/{source.ref}"]
    found = [name for name in names if name in refs]
    if not found:
        raise SpecError(f"GitSource.ref: got {source.ref!r}: {source.shown} has no such branch or tag, and it is no whole commit")
    if len(found) > 1:
        raise SpecError(f"GitSource.ref: got {source.ref!r}: is a branch and a tag: takes {' or '.join(found)}")
    return refs.get(f"{found[0]}^{{}}", refs[found[0]]), found[0]


def git_tags(source: GitSource, commit: str) -> dict[str, str]:
    """What an MLflow run tells of where its program came from."""
    tags = {"mlflow.source.git.repoURL": source.shown, "mlflow.source.git.commit": commit}
    return tags if source.is_commit else {**tags, "mlflow.source.git.branch": source.ref}
