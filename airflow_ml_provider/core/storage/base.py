"""What every kind of storage takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, quote, unquote

from airflow_ml_provider.core.errors import ConfigurationError, SpecError

_UNESCAPED = "/~!$&'()*+,;=:@"


class FileReference(str):
    """The value of a Hadoop setting that is the path of one of the files of :class:`Opened`: the file's name.

    A backend knows the folder. The type tells it from a user's text, whatever that says.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An Airflow connection's fields, without Airflow and without a readable form.

    :param conn_id: of the connection, for messages.
    :param extra: the extra field as a mapping.
    """

    conn_id: str
    conn_type: str
    login: str = ""
    password: str = ""
    host: str = ""
    port: int | None = None
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Credentials({self.conn_id!r}, {self.conn_type!r})"

    def get(self, name: str) -> Any:
        """An extra field, under its own name or under Airflow 1's long one; None when it is missing or empty."""
        return self.extra.get(name) or self.extra.get(f"extra__{self.conn_type}__{name}") or None

    def wrong(self, name: str, problem: str) -> ConfigurationError:
        """The error that names one of the fields and shows no value."""
        return ConfigurationError(f"connection {self.conn_id!r}, field {name!r}: {problem}")


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that can be opened, in the words of Hadoop and of fsspec.

    :param link: the Hadoop URI, such as ``s3a://bucket/raw``. Ends without a slash, unless it is a root. Empty where Hadoop has none.
    :param protocol: of fsspec: ``s3``, ``abfs``, ``gs``, ``hdfs``, ``file`` or ``sftp``.
    :param path: what fsspec calls the place, such as ``bucket/raw``.
    :param conf: Hadoop settings that anybody may see.
    :param secrets: Hadoop settings that nobody may see.
    :param files: files by name that the settings lead to; as secret as ``secrets``. A :class:`FileReference` in a setting leads to one.
    :param options: keyword arguments of the fsspec filesystem; some are secret.
    :param assumes_role: the fsspec filesystem takes a session that assumes the connection's AWS role, which its hook makes.
    """

    link: str
    protocol: str
    path: str
    conf: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    assumes_role: bool = False


def split_source(source: str) -> SplitResult:
    """The parts of a source; one without a scheme is a folder. The path is as it is in the store: ``#`` and ``?`` are parts of names."""
    if source.startswith("/"):
        return SplitResult("file", "", quote(source, safe=_UNESCAPED), "", "")  # as a URI has it, see local_path
    scheme, colon, rest = source.partition(":")
    if not rest.startswith("//"):
        return SplitResult(scheme.lower() if colon else "", "", rest if colon else source, "", "")
    place, slash, path = rest[2:].partition("/")
    return SplitResult(scheme.lower(), place, slash + path, "", "")


def wrong_source(source: str, takes: str) -> SpecError:
    """The error that names the source and its form."""
    return SpecError(f"Mount.source: got {source!r}: takes {takes}")


def takes_type(credentials: Credentials, source: str, *types: str) -> None:
    """Refuse a connection of a type that cannot open the source."""
    if credentials.conn_type not in types:
        takes = " or ".join(map(repr, types))
        raise ConfigurationError(
            f"connection {credentials.conn_id!r}: got the type {credentials.conn_type!r}: the source {source!r} takes {takes}"
        )


def join(base: str, path: str) -> str:
    """A place below another one, in exactly one slash."""
    return f"{base.rstrip('/')}/{path.strip('/')}" if path.strip("/") else base


def link(place: str, path: str) -> str:
    """The URI of a path as the store has it, below a place such as ``s3a://bucket``; that of a bucket itself ends in a slash."""
    return f"{place}/{quote(path.strip('/'), safe=_UNESCAPED)}"


def local_path(parts: SplitResult) -> str:
    """The folder of a ``file:`` source, which is a URI: the one kind whose path is escaped."""
    return unquote(parts.path) if parts.scheme == "file" and parts.path else parts.path
