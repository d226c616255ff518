"""What programs need beside what the cluster has. Installed once per distinct set, never where Airflow runs from."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from airflow_ml_provider.core.fields import OneOf, Spec

_COORDINATES = r"^[\w.-]+:[\w.-]+:[\w.-]+$"
_GROUP_AND_NAME = r"^[\w.-]+:[\w.*-]+$"


def _shows_no_secret(url: str) -> str:
    if urlsplit(url).username or urlsplit(url).password:
        raise ValueError(
            "holds a user's name or password, and a plan is printable: keep them in pip.conf or .netrc on the cluster"
        )
    return url


Url = Annotated[str, Field(pattern=r"^(https?|file)://"), AfterValidator(_shows_no_secret)]


class PyPI(Spec):
    """A Python package: ``PyPI("holidays==0.60")``.

    :param requirement: as pip takes it.
    :param index_url: of another index than pip's own.
    """

    kind: Literal["pypi"] = "pypi"
    requirement: str = Field(pattern=r"^[A-Za-z0-9]")
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
    :param repository: another repository than Maven Central.
    """

    kind: Literal["maven"] = "maven"
    coordinates: str = Field(pattern=_COORDINATES)
    exclusions: tuple[Annotated[str, Field(pattern=_GROUP_AND_NAME)], ...] = ()
    repository: Url | None = None

    def __init__(self, coordinates: Any = ..., **more: Any) -> None:
        super().__init__(**_given(coordinates=coordinates), **more)


Library = Annotated[PyPI | Wheel | Requirements | Jar | Maven, OneOf(PyPI, Wheel, Requirements, Jar, Maven)]


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}
