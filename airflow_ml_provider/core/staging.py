"""What lies where under a staging URI. Pure: names are made from content, and a cluster's own folder goes with it.

::

    <staging URI>/clusters/<token>/claim              who asks for the cluster, before there is one
                                  /id                 its id at the service
                                  /secrets.json       Spark properties that nobody else may see
                                  /files/<sha>/<name> programs and runners, by content: each is uploaded once
                                  /jobs/<token>/…     run_staged.py, job.json, secrets.json, claim, id, outcome.json
                                  /ids/<id>           the token of a job, by the id that the service gave it: how old the id is
                  /ids/<id>                           the same for a cluster
                  /logs/…                             the service's logs, where the connection names no other place
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_ml_provider.core.errors import SpecError

STAGED, JOB = "$staged", "$job"
"""Keys of references."""
_LITERAL = "$literal"
_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder in a bucket.

    :param key: without a slash at either end; empty for the bucket itself.
    """

    scheme: str
    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str, *schemes: str) -> Place:
        """Read a URI; :class:`SpecError` when it has none of the schemes, or no bucket."""
        parts = urlsplit(uri)
        if parts.scheme not in schemes or not parts.netloc or "?" in uri or "#" in uri:
            raise SpecError(
                f"got {uri!r}: takes a folder in a bucket, without '?' and '#', such as {schemes[0]}://bucket/airflow"
            )
        return cls(parts.scheme, parts.netloc, parts.path.strip("/"))

    def __truediv__(self, name: str) -> Place:
        return Place(self.scheme, self.bucket, "/".join(filter(None, (self.key, name))))

    def __str__(self) -> str:
        return "/".join(filter(None, (f"{self.scheme}://{self.bucket}", self.key)))

    def of_cluster(self, token: str) -> Place:
        """The folder of a cluster's own files."""
        return self / "clusters" / _checked(token)

    def of_job(self, token: str) -> Place:
        """The folder of a job in its cluster's."""
        return self / "jobs" / _checked(token)


def content_name(sha256: str, name: str) -> str:
    """Where a file lies in its cluster's folder: the same content under the same name always in the same place."""
    return f"files/{sha256[:32]}/{_NAME.sub('_', name).lstrip('.') or 'file'}"


def staged(*names: str) -> dict[str, list[str]]:
    """A reference, in a plan, to files in the cluster's folder, whose place only a submission knows. Several are joined by commas."""
    return {STAGED: list(names)}


def job_folder(*names: str) -> dict[str, list[str]]:
    """A reference, in a plan, to the job's folder, or to files in it."""
    return {JOB: list(names)}


def literal(value: Any) -> Any:
    """A user's own JSON value for a plan: what has the form of a reference is marked, and stays as it is."""
    if isinstance(value, dict):
        return {_LITERAL: [value]} if _is_reference(value) else {key: literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, list) else value


def placed(value: Any, folders: Mapping[str, str]) -> Any:
    """A plan's value with its references resolved. Text is never looked into: no text of a user can be a reference.

    :param folders: by the key of their references.
    """
    if isinstance(value, list):
        return [placed(item, folders) for item in value]
    if not isinstance(value, dict):
        return value
    if not _is_reference(value):
        return {key: placed(item, folders) for key, item in value.items()}
    ((key, items),) = value.items()
    if key == _LITERAL:
        return items[0]
    return ",".join(f"{folders[key]}/{name}" for name in items) if items else folders[key]


def _is_reference(value: Mapping[str, Any]) -> bool:
    """References hold lists: no mapping of texts to texts, such as variables, properties and tags, is one."""
    return len(value) == 1 and all(key in (STAGED, JOB, _LITERAL) and isinstance(item, list) for key, item in value.items())


def is_token(text: str) -> bool:
    """Whether a text can be the token of a piece of work."""
    return _TOKEN.fullmatch(text) is not None


def _checked(token: str) -> str:
    if not is_token(token):
        raise SpecError(f"token: got {token!r}: takes letters, digits, '_' and '-'")
    return token
