"""What programs need beside what the cluster has. Installed once per distinct set, never where Airflow runs from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.fields import OneOf, Spec

_COORDINATES = r"^[\w.-]+:[\w.-]+:[\w.-]+$"
_GROUP_AND_NAME = r"^[\w.-]+:[\w.*-]+$"
_LOGIN = re.compile(r"https?://[^/\s@]+@|://[^/\s@:]+:[^/\s@]+@")
"""In a requirement. A name alone is no secret where a key signs in: ``git+ssh://git@host/…``."""
_INCLUDES = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[=\s]*(?P<path>\S+)", re.MULTILINE)


def _shows_no_secret(url: str) -> str:
    if urlsplit(url).username or urlsplit(url).password:
        raise ValueError(
            "holds a user's name or password, and a plan is printable: keep them in pip.conf or .netrc on the cluster"
        )
    return url


def _names_no_login(requirement: str) -> str:
    if _LOGIN.search(requirement):
        raise ValueError("holds a user's name or password, and a plan is printable: keep them in pip.conf or .netrc")
    return requirement


Url = Annotated[str, Field(pattern=r"^(https?|file)://"), AfterValidator(_shows_no_secret)]


class PyPI(Spec):
    """A Python package: ``PyPI("holidays==0.60")``.

    :param requirement: as pip takes it.
    :param index_url: of the index that the package and all that it depends on come from, in the place of pip's own.
    """

    kind: Literal["pypi"] = "pypi"
    requirement: Annotated[str, Field(pattern=r"^[A-Za-z0-9]"), AfterValidator(_names_no_login)]
    index_url: Url | None = None

    def __init__(self, requirement: Any = ..., **more: Any) -> None:
        super().__init__(**_given(requirement=requirement), **more)


class Wheel(Spec):
    """A wheel: ``Wheel("dist/etl-1.0-py3-none-any.whl")``, installed with what it depends on.

    :param path: the file, absolute, on the machine that submits it.
    """

    kind: Literal["wheel"] = "wheel"
    path: str = Field(pattern=r"\.whl$")

    def __init__(self, path: Any = ..., **more: Any) -> None:
        super().__init__(**_given(path=path), **more)


class Requirements(Spec):
    """A requirements file of pip's: ``Requirements("requirements.txt")``.

    :param path: the file, absolute, on the machine that submits it.
    """

    kind: Literal["requirements"] = "requirements"
    path: str = Field(min_length=1)

    def __init__(self, path: Any = ..., **more: Any) -> None:
        super().__init__(**_given(path=path), **more)


class Jar(Spec):
    """A JAR: ``Jar("lib/udfs.jar")``.

    :param path: the file, absolute, on the machine that submits it.
    """

    kind: Literal["jar"] = "jar"
    path: str = Field(pattern=r"\.jar$")

    def __init__(self, path: Any = ..., **more: Any) -> None:
        super().__init__(**_given(path=path), **more)


class Maven(Spec):
    """A JAR by its coordinates, with what it depends on: ``Maven("org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0")``.

    :param coordinates: ``group:name:version``.
    :param exclusions: ``group:name`` of what to leave out.
    :param repository: another repository, which Spark asks for what Maven Central does not have.
    """

    kind: Literal["maven"] = "maven"
    coordinates: str = Field(pattern=_COORDINATES)
    exclusions: tuple[Annotated[str, Field(pattern=_GROUP_AND_NAME)], ...] = ()
    repository: Url | None = None

    def __init__(self, coordinates: Any = ..., **more: Any) -> None:
        super().__init__(**_given(coordinates=coordinates), **more)


def library_of(text: str) -> dict[str, str]:
    """The fields of the library that a text stands for: by the ending ``.whl``, ``.jar`` or ``.txt`` a file, ``group:name:version``
    from Maven, and everything else a requirement as pip takes it.
    """
    if "://" not in text:
        for kind, ending in (("wheel", ".whl"), ("jar", ".jar"), ("requirements", ".txt")):
            if text.endswith(ending):
                return {"kind": kind, "path": text}
        if re.match(_COORDINATES, text):
            return {"kind": "maven", "coordinates": text}
    return {"kind": "pypi", "requirement": text}


Library = Annotated[PyPI | Wheel | Requirements | Jar | Maven, OneOf(PyPI, Wheel, Requirements, Jar, Maven, from_text=library_of)]


def contents(library: Mapping[str, Any]) -> dict[str, Any]:
    """A library of a plan by what it is: the digests of its file, and of the files that this includes, in the place of its path.

    :raises SpecError: a file cannot be read.
    """
    if "path" not in library:
        return dict(library)
    seen: dict[Path, str] = {}
    waiting = [Path(library["path"])]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            try:
                data = path.read_bytes()
            except OSError as error:
                raise SpecError(f"libraries: got {str(path)!r}: {error.strerror}") from error
            seen[path] = hashlib.sha256(data).hexdigest()
            if library["kind"] == "requirements":
                found = (match["path"] for match in _INCLUDES.finditer(data.decode(errors="replace")))
                waiting += [path.parent / name for name in found if "://" not in name]
    return {**library, "path": Path(library["path"]).name, "sha256": list(seen.values())}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}
