"""``@task.spark_job``: a function whose body runs on a Spark cluster."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.spec import JobSpec
from airflow_ml_provider.decorators.source import check_function, function_source
from airflow_ml_provider.operators.base import refuse_unknown
from airflow_ml_provider.operators.programs import STAND_IN
from airflow_ml_provider.operators.spark_job import SparkJobOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.signatures import FunctionFields

_SPARK = "spark"
_NAME = "@task.spark_job"
_PROGRAM = """\
{source}

def _run_and_hand_back():
    import json
    import os

    arguments = json.loads({arguments!r})
{session}    result = {function}(**arguments)
    if hasattr(result, "__await__"):
        import asyncio

        result = asyncio.run(result)
    try:
        document = json.dumps(result)
    except TypeError as error:
        raise TypeError("the return value of {function} is no JSON: " + str(error)) from None
    with open(os.environ["{result_variable}"], "w", encoding="utf-8") as file:
        file.write(document)


_run_and_hand_back()
"""
_SESSION = """\
    from pyspark.sql import SparkSession

    arguments["spark"] = SparkSession.builder.getOrCreate()
"""


class SparkJobDecoratedOperator(DecoratedOperator, SparkJobOperator):
    """The operator behind ``@task.spark_job``."""

    custom_operator_name = _NAME
    template_fields: Sequence[str] = (
        *("op_args", "op_kwargs", "cluster", "name", "env", "spark_conf", "files", "libraries", "timeout", "native"),
        *("mlflow_conn_id", "experiment"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **SparkJobOperator.template_fields_renderers,
        "op_args": "py",
        "op_kwargs": "py",
    }

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        api: Literal["connect", "classic"] = "connect",
        **kwargs: Any,
    ) -> None:
        self.api = api
        self.function = python_callable
        check_function(python_callable, _NAME)
        self.takes_spark = _SPARK in inspect.signature(python_callable).parameters
        super().__init__(
            python_callable=_without_spark(python_callable), op_args=op_args, op_kwargs=op_kwargs, program=STAND_IN, **kwargs
        )

    def _program(self, context: Context, folder: Path) -> dict[str, Any]:
        text, defaults = function_source(self.function, _NAME)
        source = _PROGRAM.format(
            source=text,
            arguments=_json_of({**defaults, **self._arguments(context)}, self.function.__name__),
            session=_SESSION if self.takes_spark else "",
            function=self.function.__code__.co_name,
            result_variable=JobSpec.RESULT_VARIABLE,
        )
        return {"kind": "python_code", "source": source, "api": self.api}

    def _arguments(self, context: Context) -> dict[str, Any]:
        """The function's arguments by name, and what it asks of Airflow's context."""
        signature = inspect.signature(self.python_callable)
        from_context = {name: value for name, value in context.items() if name in signature.parameters}
        given = signature.bind_partial(*self.op_args, **self.op_kwargs).arguments
        others = given.pop(_variadic(signature), {})
        return {**from_context, **given, **others}


def spark_job(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **fields: Unpack[FunctionFields]
) -> TaskDecorator:
    """Make a task of a function whose body runs on a Spark cluster: ``@task.spark_job``, with its arguments' names and types.

    The function's source is shipped, without its decorators and annotations: it imports what it needs inside, and takes values of the
    DAG file as parameters, of which a default such as ``table=table`` keeps the value that it has here. A parameter named ``spark`` receives
    the session. Arguments, those from other tasks' XComs too, and the return value are JSON; the return value becomes the XCom.

    :param python_callable: the function, with or without ``async``.
    :param multiple_outputs: as in ``@task``.
    :param fields: those of :class:`SparkJobOperator`, ``cluster`` first; ``api`` as in
        :class:`~airflow_ml_provider.core.spec.PythonCode`.
    """
    kwargs: dict[str, Any] = {**fields}
    refuse_unknown(SparkJobDecoratedOperator, kwargs)
    if "cluster" in kwargs:
        kwargs["cluster"] = getattr(kwargs["cluster"], "handle", kwargs["cluster"])
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=SparkJobDecoratedOperator,
        **kwargs,
    )


def _without_spark(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as its callers see it: nobody passes ``spark``."""
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise SpecError(f"{_NAME} {function.__name__}: parameter {parameter}: takes parameters that have a name")

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != _SPARK]
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return called


def _variadic(signature: inspect.Signature) -> str:
    return next((name for name, parameter in signature.parameters.items() if parameter.kind is parameter.VAR_KEYWORD), "")


def _json_of(arguments: Mapping[str, Any], function: str) -> str:
    """The arguments as one JSON object. Each value is read once: the results of a mapped task are fetched one by one."""
    documents = []
    for name, value in arguments.items():
        try:
            documents.append(f"{json.dumps(name)}: {json.dumps(value, default=_list_of)}")
        except (TypeError, ValueError) as error:
            raise SpecError(f"{_NAME} {function}: argument {name!r}: takes a JSON value: {error}") from None
    return "{" + ", ".join(documents) + "}"


def _list_of(value: Any) -> Any:
    """What a mapped task's results come as is a sequence, but no list."""
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"got {type(value).__name__}")
