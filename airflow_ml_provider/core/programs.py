"""The kinds of programs. What a backend does not run itself becomes a Python file: :mod:`airflow_ml_provider.core.lowering`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.fields import OneOf, Spec
from airflow_ml_provider.runners.notebook.arguments import wrong_name, wrong_value

Api = Literal["connect", "classic"]
Scalar = str | int | float | bool | None
_ENTRY_POINT = re.compile(r"[A-Za-z_][\w.-]*(:[A-Za-z_][\w.]*)?")
_CLASS = r"^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*$"
_SECRET_NAME = r"^[^/]+/[^/]+$"
_SECRET = r"^(variable:.+|connection:[^/]+/(login|password|host|port|schema|uri|extra\..+))$"
_PARAMETER = r"^[A-Za-z_]\w*$"
S = TypeVar("S", bound=Spec)


def _can_be_set(parameters: dict[str, Any]) -> dict[str, Any]:
    """Refuse names that could be code, and values that JSON cannot hold."""
    problems = [wrong_name(name) or wrong_value(name, value) for name, value in parameters.items()]
    if any(problems):
        raise SpecError(*filter(None, problems))
    return parameters


class PythonFile(Spec):
    """A PySpark program in a file.

    :param path: the file, absolute, on the machine that submits it.
    :param args: what follows the file's name on its command line. Nothing secret.
    :param api: ``connect`` for DataFrames, SQL and Spark ML through Spark Connect; ``classic`` for a program that needs the JVM
        driver in its own process (``SparkContext``, RDDs). A service without Spark Connect runs both the same way.
    """

    kind: Literal["python_file"] = "python_file"
    path: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    api: Api = "connect"


class PythonCode(Spec):
    """A PySpark program as text, such as the body of a decorated function. Fields as in :class:`PythonFile`."""

    kind: Literal["python_code"] = "python_code"
    source: str = Field(min_length=1)
    args: tuple[str, ...] = ()
    api: Api = "connect"


class PythonWheel(Spec):
    """A function in a wheel, which is installed with what it depends on.

    :param wheel: the file, absolute, on the machine that submits it.
    :param entry_point: the name of one of the wheel's console scripts, or ``package.module:function``.
    :param args: the function finds them in ``sys.argv[1:]``. Nothing secret.
    :param api: as in :class:`PythonFile`.
    """

    kind: Literal["python_wheel"] = "python_wheel"
    wheel: str = Field(pattern=r"\.whl$")
    entry_point: str = Field(pattern=rf"^{_ENTRY_POINT.pattern}$")
    args: tuple[str, ...] = ()
    api: Api = "connect"


class SparkJar(Spec):
    """The ``main`` of a class in a JAR, in a driver of its own.

    :param jar: the file, absolute, on the machine that submits it.
    :param main_class: the class's full name.
    :param args: the arguments of ``main``. Nothing secret.
    """

    kind: Literal["spark_jar"] = "spark_jar"
    jar: str = Field(pattern=r"\.jar$")
    main_class: str = Field(pattern=_CLASS)
    args: tuple[str, ...] = ()


class Sql(Spec):
    """SQL statements, separated by semicolons. The last one's first rows are printed as a table, and are the job's result.

    :param text: the statements; or
    :param file: the file that holds them, absolute, on the machine that submits it.
    :param parameters: values of ``:name`` in the statements, bound by Spark and never spliced in. Nothing secret.
    :param limit: rows of the last result that are printed and handed back.
    """

    kind: Literal["sql"] = "sql"
    text: str | None = Field(default=None, min_length=1)
    file: str | None = Field(default=None, min_length=1)
    parameters: dict[Annotated[str, Field(pattern=_PARAMETER)], Scalar] = {}
    limit: int = Field(default=100, ge=1, le=10_000)

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Sql:
        return _one_of(self, "text", "file")


class ScalaSource(Spec):
    """Scala, compiled on the cluster: statements that find ``spark`` and ``args``, or objects, one of them with a ``main``.

    :param file: the file that holds it, absolute, on the machine that submits it; or
    :param source: the text.
    :param args: what ``args`` holds. Nothing secret.
    """

    kind: Literal["scala"] = "scala"
    file: str | None = Field(default=None, min_length=1)
    source: str | None = Field(default=None, min_length=1)
    args: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_in_one_place(self) -> ScalaSource:
        return _one_of(self, "file", "source")


class RScript(Spec):
    """An R script, where the cluster has ``Rscript``.

    :param path: the file, absolute, on the machine that submits it.
    :param args: what ``commandArgs(trailingOnly = TRUE)`` gives. Nothing secret.
    """

    kind: Literal["r_script"] = "r_script"
    path: str = Field(min_length=1)
    args: tuple[str, ...] = ()


class Shipped(Spec):
    """The text that a notebook's job ships.

    :param notebook: the notebook's path among the files.
    :param files: ``name`` and ``text`` of it and of the notebooks that it runs, by path from its folder without the ending.
    """

    notebook: str
    files: dict[str, dict[str, str]]


class Notebook(Spec):
    """A notebook: Jupyter's ``.ipynb``, or Databricks' source format, as ``.py``, ``.sql``, ``.scala``, ``.r`` or exported ``.ipynb``.

    Its Python runs beside Spark, with ``spark``, ``display`` and ``dbutils``; its Scala in the driver's JVM, so that a notebook with
    Scala in it takes the classic API; its R in ``Rscript``, where the cluster has it. The notebooks that ``%run`` and
    ``dbutils.notebook.run`` name in plain text go along. What it hands to ``dbutils.notebook.exit`` is the job's result.

    :param path: the file, absolute, on the machine that submits it; or
    :param source: the text; or
    :param revision: the id of an MLflow run of a notebook, as ``airflow-ml notebook log`` lists it: the text is that of then, also
        of the notebooks that it runs. It goes before ``path``; empty means nothing, so that a DAG's parameter can hold it.
    :param parameters: by name, for the ``parameters`` cell and the widgets. Names are identifiers. Values are what JSON can hold, and
        NaN and the infinities: a Jupyter notebook gets them as such, a widget gets text as it is and everything else as JSON text.
        Nothing secret.
    :param secrets: what ``dbutils.secrets.get(scope, key)`` gives, by ``scope/key``: ``variable:<name>``, or
        ``connection:<id>/<field>`` with the field ``login``, ``password``, ``host``, ``port``, ``schema``, ``uri`` or
        ``extra.<name>``. Resolved when the task runs.
    :param root: the folder, absolute, at which the paths begin that ``%run`` and ``dbutils.notebook.run`` name with a slash before them, as
        in a workspace; None knows none of them.
    :param others: paths from the notebook's folder of notebooks that it runs by names made at run time.
    :param kernel: a Jupyter kernel's name; None takes what the notebook asks for. In a kernel there is no ``dbutils``.
    :param api: as in :class:`PythonFile`.
    :param shipped: the text, once it was read; None reads it.
    """

    kind: Literal["notebook"] = "notebook"
    path: str | None = Field(default=None, min_length=1)
    source: str | None = Field(default=None, min_length=1)
    revision: str = ""
    parameters: Annotated[dict[str, Any], AfterValidator(_can_be_set)] = {}
    secrets: dict[Annotated[str, Field(pattern=_SECRET_NAME)], Annotated[str, Field(pattern=_SECRET)]] = {}
    root: str | None = None
    others: tuple[str, ...] = ()
    kernel: str | None = None
    api: Api = "connect"
    shipped: Shipped | None = None

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Notebook:
        return self if self.revision and not self.source else _one_of(self, "path", "source")


Program = Annotated[
    PythonFile | PythonCode | PythonWheel | SparkJar | Sql | ScalaSource | RScript | Notebook,
    OneOf(PythonFile, PythonCode, PythonWheel, SparkJar, Sql, ScalaSource, RScript, Notebook),
]


def _one_of(spec: S, first: str, second: str) -> S:
    if (getattr(spec, first) is None) == (getattr(spec, second) is None):
        raise ValueError(f"takes either {first} or {second}")
    return spec
