"""``dbutils``: what Databricks gives a notebook, as far as it makes sense outside of Databricks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .arguments import text_of
from .errors import Missing, NotebookExit, Unavailable
from .files import FileSystem
from .utility import Utility

_LARGEST_VALUE = 48 * 1024


@dataclass
class Shared:
    """What all notebooks of one job have in common.

    :param secrets: by ``scope/key``.
    :param upstream: task values of the tasks before this one, by task.
    :param values: task values that this job sets.
    :param names: what cells in other languages than Python find, as a program, by language.
    """

    spark: Any
    secrets: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


class DBUtils:
    """The utilities of one notebook.

    :param parameters: values of its widgets that whoever runs it has set.
    :param run: runs another notebook: its path, a limit in seconds and its parameters.
    :param display: shows a table.
    """

    def __init__(
        self,
        shared: Shared,
        name: str,
        parameters: Mapping[str, str],
        run: Callable[..., str],
        display: Callable[..., None],
    ) -> None:
        self.data = Data(display)
        self.widgets = Widgets(parameters)
        self.notebook = NotebookUtils(name, run)
        self.fs = FileSystem(shared.spark)
        self.secrets = Secrets(shared.secrets)
        self.jobs = Jobs(shared)
        self.library = Library()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        why = "is not there: dbutils has data, fs, jobs, library, notebook, secrets and widgets"
        raise Missing(f"dbutils.{name}: {why}")

    def help(self, *_: str) -> None:
        """Print the utilities."""
        print("dbutils: data, fs, jobs, library, notebook, secrets, widgets")


class Data(Utility):
    """Looks at tables."""

    NAME = "data"

    def __init__(self, display: Callable[..., None]) -> None:
        self._display = display

    def summarize(self, df: Any, precise: bool = False) -> None:
        """Show each column's count, mean, deviation, extremes and quartiles, as ``DataFrame.summary`` finds them."""
        self._display(df.summary() if hasattr(df, "summary") else df.describe(include="all"))


class Widgets(Utility):
    """The notebook's parameters. A value that the job sets goes before the notebook's own default."""

    NAME = "widgets"

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._set = {name: text_of(value) for name, value in parameters.items()}
        self._defaults: dict[str, str] = {}

    def _assign(self, values: Mapping[str, str]) -> None:
        """Set values, as ``%run`` does for the notebook that it runs."""
        self._set.update(values)

    def text(self, name: str, defaultValue: str = "", label: str = "") -> None:  # noqa: N803 - Databricks' name
        """Declare a parameter."""
        self._defaults[name] = str(defaultValue)

    def dropdown(self, name: str, defaultValue: str, choices: Any = (), label: str = "") -> None:  # noqa: N803 - Databricks' name
        """Declare a parameter with a list of values."""
        allowed = [str(choice) for choice in choices]
        for value in (str(defaultValue), self._set.get(name, str(defaultValue))):
            if allowed and value not in allowed:
                raise ValueError(f"widget {name!r}: got {value!r}: takes one of {', '.join(allowed)}")
        self._defaults[name] = str(defaultValue)

    def combobox(self, name: str, defaultValue: str, choices: Any = (), label: str = "") -> None:  # noqa: N803 - Databricks' name
        """Declare a parameter with proposals."""
        self._defaults[name] = str(defaultValue)

    multiselect = combobox

    def get(self, name: str) -> str:
        """The parameter's value."""
        if name in self._set:
            return self._set[name]
        if name not in self._defaults:
            known = ", ".join(sorted({*self._set, *self._defaults})) or "there are none"
            raise Missing(f"dbutils.widgets.get: no widget or parameter is named {name!r}: {known}")
        return self._defaults[name]

    def getArgument(self, name: str, default: str = "") -> str:  # noqa: N802 - Databricks' name
        """The parameter's value, or ``default``."""
        return self.getAll().get(name, default)

    def getAll(self) -> dict[str, str]:  # noqa: N802 - Databricks' name
        """Every parameter."""
        return {**self._defaults, **self._set}

    def remove(self, name: str) -> None:
        """Forget a widget; what the job has set stays."""
        self._defaults.pop(name, None)

    def removeAll(self) -> None:  # noqa: N802 - Databricks' name
        """Forget every widget; what the job has set stays."""
        self._defaults.clear()


class NotebookUtils(Utility):
    """Runs other notebooks and ends this one."""

    NAME = "notebook"

    def __init__(self, name: str, run: Callable[..., str]) -> None:
        self._name = name
        self._run = run
        self.entry_point = self

    def run(self, path: str, timeout_seconds: int = 0, arguments: Mapping[str, Any] | None = None) -> str:
        """Run a notebook with names and parameters of its own; what it hands to ``exit``.

        :param timeout_seconds: looked at between its cells; 0 sets no limit.
        """
        return self._run(path, timeout_seconds, {key: text_of(value) for key, value in (arguments or {}).items()})

    def exit(self, value: Any = "") -> None:
        """End the notebook and hand back a value."""
        raise NotebookExit(value if isinstance(value, str) else json.dumps(value, default=str))

    # Notebooks find their own path through dbutils.notebook.entry_point.getDbutils().notebook().getContext().notebookPath().get()
    def getDbutils(self) -> Any:  # noqa: N802 - Databricks' name
        """The next step on the way to the context."""
        return self

    def notebook(self) -> Any:
        """The next step on the way to the context."""
        return self

    def getContext(self) -> Context:  # noqa: N802 - Databricks' name
        """What the notebook may ask about itself."""
        return Context(self._name)


class Context:
    """What a notebook may ask about itself: its path, and whose and which run it is in."""

    def __init__(self, name: str) -> None:
        self._name = name

    def userName(self) -> Any:  # noqa: N802 - Databricks' name
        """Who owns the DAG, behind ``.get()``."""
        return self.tags().get("user")

    def tags(self) -> Tags:
        """The DAG's owner as ``user``, the DAG as ``jobId`` and its run as ``runId``."""
        names = {"user": "OWNER", "jobId": "ID", "runId": "RUN_ID"}
        return Tags({key: os.environ.get(f"AIRFLOW_CTX_DAG_{name}", "") for key, name in names.items()})

    def notebookPath(self) -> Any:  # noqa: N802 - Databricks' name
        """The notebook's path, behind ``.get()``."""
        return _Optional(self._name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Missing(
            f"dbutils.notebook context: {name}: there is no Databricks workspace: notebookPath, tags and userName are known"
        )


class Tags:
    """Texts by name, as Scala's maps give them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def apply(self, name: str) -> str:
        """The text."""
        if name not in self._values:
            raise Missing(f"dbutils.notebook context: tags: there is no {name!r}: takes one of {', '.join(self._values)}")
        return self._values[name]

    def get(self, name: str) -> Any:
        """The text, behind ``.get()``."""
        return _Optional(self.apply(name))


class _Optional:
    def __init__(self, value: str) -> None:
        self._value = value

    def get(self) -> str:
        return self._value

    getOrElse = get  # noqa: N815 - Scala's name


class Secrets(Utility):
    """Secrets that the job was given by name."""

    NAME = "secrets"

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    def get(self, scope: str, key: str) -> str:
        """A secret's text."""
        try:
            return self._secrets[f"{scope}/{key}"]
        except KeyError:
            known = ", ".join(sorted(self._secrets)) or "there are none"
            fix = f"give the notebook secrets={{'{scope}/{key}': 'variable:…' or 'connection:…/password'}}"
            raise Missing(f"dbutils.secrets.get: no secret is named '{scope}/{key}' ({known}): {fix}") from None

    def getBytes(self, scope: str, key: str) -> bytes:  # noqa: N802 - Databricks' name
        """A secret's bytes."""
        return self.get(scope, key).encode()

    def list(self, scope: str) -> list[Any]:
        """The keys of a scope."""
        return [_Key(name.partition("/")[2]) for name in sorted(self._secrets) if name.startswith(f"{scope}/")]

    def listScopes(self) -> Any:  # noqa: N802 - Databricks' name
        """The scopes."""
        return [_Scope(name) for name in sorted({name.partition("/")[0] for name in self._secrets})]


@dataclass(frozen=True, slots=True)
class _Key:
    key: str


@dataclass(frozen=True, slots=True)
class _Scope:
    name: str


class Jobs:
    """Values that tasks of one run hand each other."""

    def __init__(self, shared: Shared) -> None:
        self.taskValues = TaskValues(shared)
        self.help = self.taskValues.help


class TaskValues(Utility):
    """``set`` makes an XCom of this task, ``get`` reads one of a task before it."""

    NAME = "jobs.taskValues"

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def set(self, key: str, value: Any) -> None:
        """Hand on a JSON value."""
        text = json.dumps(value)
        if len(text) > _LARGEST_VALUE:
            raise ValueError(
                f"taskValues.set: {key!r} has {len(text)} bytes: takes at most {_LARGEST_VALUE}: store it, and hand on where"
            )
        self._shared.values[key] = json.loads(text)

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:  # noqa: N803 - Databricks' names
        """A value that the task ``taskKey`` has set."""
        values = self._shared.upstream.get(taskKey)
        if values is not None and key in values:
            return values[key]
        if default is not None:
            return default
        known = ", ".join(sorted(self._shared.upstream)) or "there are none"
        problem = (
            f"task {taskKey!r} has set no {key!r}"
            if values is not None
            else f"no task before this one is named {taskKey!r} ({known})"
        )
        raise Missing(f"taskValues.get: {problem}: set it there, or give a default")


class Library(Utility):
    """What is left of the library utility."""

    NAME = "library"

    def restartPython(self) -> None:  # noqa: N802 - Databricks' name
        """Nothing to do: what ``%pip`` installs is found at once, and modules that are imported already stay."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Unavailable(f"dbutils.library.{name}", "use %pip, or give the job libraries=[…]")
