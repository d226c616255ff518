"""Every field of every spec, with values that a plan must tell apart. The models are walked: a new field without values fails the suite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from airflow_ml_provider.core.backend import Backend, Feature, Plan
from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.mounts import Credentials, open_mount, with_mounts
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Mount, PyPI, PythonCode, Spec, merge

_NOTEBOOKS = Path(__file__).parents[2] / "include" / "notebooks"
_ONE, _OTHER = (str(_NOTEBOOKS / name) for name in ("explore_flights.ipynb", "train_flights.py"))
_FIRST_LINE = "# Databricks notebook source"
_FILES = {"one": {"name": "one.py", "text": f"{_FIRST_LINE}\nprint(1)"}}
_OTHER_FILES = {**_FILES, "two": {"name": "two.py", "text": f"{_FIRST_LINE}\nprint(2)"}}

BASES: dict[str, dict[str, Any]] = {
    "ClusterSpec": {},
    "JobSpec": {"name": "contract", "program": PythonCode(source="pass")},
    "Jar": {"path": "/one.jar"},
    "Maven": {"coordinates": "org.example:one:1.0"},
    "Mount": {"name": "raw", "source": "s3://bucket/raw"},
    "Node": {},
    "Notebook": {"path": _ONE},
    "PyPI": {"requirement": "holidays"},
    "PythonCode": {"source": "pass"},
    "PythonFile": {"path": "/one.py"},
    "PythonWheel": {"wheel": "/one-1-py3-none-any.whl", "entry_point": "one"},
    "RScript": {"path": "/one.R"},
    "Requirements": {"path": "/one.txt"},
    "ScalaSource": {"source": "println(1)"},
    "Shipped": {"notebook": "one", "files": _OTHER_FILES},
    "SparkJar": {"jar": "/one.jar", "main_class": "One"},
    "Sql": {"text": "SELECT 1"},
    "Wheel": {"path": "/one-1-py3-none-any.whl"},
}
"""The fields that each model has beside the one under test."""

BASES_OF_FIELDS: dict[str, dict[str, Any]] = {
    "Sql.file": {"file": "/one.sql"},
    "ScalaSource.file": {"file": "/one.scala"},
    "Notebook.source": {"source": f"{_FIRST_LINE}\nprint(1)"},
}
"""The same for fields that do not go with these."""

VALUES: dict[str, tuple[Any, ...]] = {
    "ClusterSpec.name": ("other",),
    "ClusterSpec.driver": ({"cores": 8},),
    "ClusterSpec.worker": ({"cores": 8},),
    "ClusterSpec.workers": (2, 3),
    "ClusterSpec.max_workers": (3, 4),
    "ClusterSpec.spark_version": ("4.2", "3.5"),
    "ClusterSpec.spark_conf": ({"spark.sql.ansi.enabled": "true"}, {"spark.sql.ansi.enabled": "false"}),
    "ClusterSpec.env": ({"WHO": "me"}, {"WHO": "you"}),
    "ClusterSpec.idle_timeout": (600, 1200, None),
    "ClusterSpec.max_lifetime": (600, 1200),
    "ClusterSpec.tags": ({"team": "ml"}, {"team": "bi"}),
    "ClusterSpec.libraries": ((PyPI("holidays"),),),
    "ClusterSpec.mounts": ((Mount("raw", "s3://bucket/raw"),),),
    "JobSpec.name": ("other",),
    "JobSpec.program": (PythonCode(source="exit(0)"),),
    "JobSpec.spark_conf": ({"spark.sql.ansi.enabled": "true"}, {"spark.sql.ansi.enabled": "false"}),
    "JobSpec.env": ({"WHO": "me"}, {"WHO": "you"}),
    "JobSpec.files": (("/x.csv",), ("/y.csv",)),
    "JobSpec.libraries": ((PyPI("holidays"),),),
    "JobSpec.timeout": (600, 1200),
    "Jar.path": ("/two.jar",),
    "Maven.coordinates": ("org.example:two:1.0",),
    "Maven.exclusions": (("org.example:three",),),
    "Maven.repository": ("https://maven.example/releases",),
    "Mount.name": ("other",),
    "Mount.source": ("s3://bucket/other",),
    "Mount.conn_id": ("keys",),
    "Mount.read_only": (True,),
    "Mount.fuse": (True,),
    "Node.cores": (8, 16),
    "Node.memory": ("20g", "40g"),
    "Node.gpus": (1, 4),
    "Node.instance_type": ("m6i.2xlarge", "m6i.4xlarge"),
    "Node.spot": (True,),
    "Notebook.path": (_OTHER,),
    "Notebook.source": (f"{_FIRST_LINE}\nprint(2)",),
    "Notebook.revision": ("0123456789abcdef",),
    "Notebook.parameters": ({"day": "monday"}, {"day": "tuesday"}),
    "Notebook.others": ((Path(_OTHER).name,),),
    "Notebook.kernel": ("python3",),
    "Notebook.api": ("classic",),
    "Notebook.shipped": ({"notebook": "one", "files": _FILES},),
    "PyPI.requirement": ("workalendar",),
    "PyPI.index_url": ("https://pypi.example/simple",),
    "PythonCode.source": ("exit(0)",),
    "PythonCode.args": (("one",), ("two",)),
    "PythonCode.api": ("classic",),
    "PythonFile.path": ("/two.py",),
    "PythonFile.args": (("one",), ("two",)),
    "PythonFile.api": ("classic",),
    "PythonWheel.wheel": ("/two-1-py3-none-any.whl",),
    "PythonWheel.entry_point": ("two",),
    "PythonWheel.args": (("one",), ("two",)),
    "PythonWheel.api": ("classic",),
    "RScript.path": ("/two.R",),
    "RScript.args": (("one",), ("two",)),
    "Requirements.path": ("/two.txt",),
    "ScalaSource.file": ("/two.scala",),
    "ScalaSource.source": ("println(2)",),
    "ScalaSource.args": (("one",), ("two",)),
    "Shipped.notebook": ("two",),
    "Shipped.files": (_FILES,),
    "SparkJar.jar": ("/two.jar",),
    "SparkJar.main_class": ("Two",),
    "SparkJar.args": (("one",), ("two",)),
    "Sql.text": ("SELECT 2",),
    "Sql.file": ("/two.sql",),
    "Sql.parameters": ({"day": 1}, {"day": 2}),
    "Sql.limit": (7,),
    "Wheel.path": ("/two-1-py3-none-any.whl",),
}
"""Values of each field, all different from its default."""

NOT_PLANNED: dict[str, str] = {
    "ClusterSpec.native": "each service takes its own: test_native_is_merged_last",
    "JobSpec.native": "each service takes its own: test_native_is_merged_last",
    "Notebook.root": "it says where notebooks are read that others run: tests/unit/runners/test_notebook_synapse.py",
    "Notebook.secrets": "no plan may hold them: the task hands them to submit, tests/airflow/test_links_and_secrets.py",
}
"""Fields that no plan shows, and what tests them."""

CONTEXTS: dict[str, tuple[dict[str, Any], ...]] = {
    "ClusterSpec.driver": ({}, {"workers": 1}, {"workers": 1, "max_workers": 2}),
    "ClusterSpec.worker": ({}, {"workers": 1}, {"workers": 1, "max_workers": 2}),
    "ClusterSpec.workers": ({}, {"max_workers": 4}),
    "ClusterSpec.max_workers": ({}, {"workers": 1}),
}
"""What else the spec asks for, for fields whose meaning depends on it."""

SERVICES_CHOICE = {"ClusterSpec.spark_version": "the version that is asked for may be the service's default"}
"""Fields that may be planned as if nobody had asked for them. Two different values still are two plans."""

OF_THE_MOUNTS_SETTINGS = frozenset({"Mount.name", "Mount.source", "Mount.conn_id", "Mount.read_only"})
"""Fields that reach a service as Spark properties, which :func:`with_mounts` makes. The other fields of mounts are its own work."""

FEATURES: dict[Feature, str] = {
    Feature.AUTOSCALING: "ClusterSpec.max_workers",
    Feature.FILES: "JobSpec.files",
    Feature.FUSE_MOUNTS: "Mount.fuse",
    Feature.GPUS: "Node.gpus",
    Feature.IDLE_TIMEOUT: "ClusterSpec.idle_timeout",
    Feature.INSTANCE_TYPE: "Node.instance_type",
    Feature.JOB_LIBRARIES: "JobSpec.libraries",
    Feature.LIBRARIES: "ClusterSpec.libraries",
    Feature.MAX_LIFETIME: "ClusterSpec.max_lifetime",
    Feature.MOUNTS: "ClusterSpec.mounts",
    Feature.READ_ONLY_MOUNTS: "Mount.read_only",
    Feature.SPARK_VERSION: "ClusterSpec.spark_version",
    Feature.SPOT: "Node.spot",
}
"""The field that asks for each feature."""


class Place(NamedTuple):
    """Where a model stands: in a spec, below these fields of it."""

    spec: type[Spec]
    path: tuple[tuple[str, type[Spec]], ...]
    """The fields from the spec on, each with the model that it holds here."""

    @property
    def model(self) -> type[Spec]:
        """The model that stands here."""
        return self.path[-1][1] if self.path else self.spec


class Case(NamedTuple):
    """One field at one place.

    :param beside: other fields of the outermost spec.
    """

    place: Place
    field: str
    beside: dict[str, Any]

    @property
    def key(self) -> str:
        """Of the tables: the model and the field."""
        return f"{self.place.model.__name__}.{self.field}"

    @property
    def names(self) -> tuple[str, ...]:
        """What a refusal may call the field."""
        first = self.place.path[0][0] if self.place.path else self.field
        return (f"{self.place.spec.__name__}.{first}", self.key)

    def __str__(self) -> str:
        path = "".join(f".{name}[{model.__name__}]" for name, model in self.place.path)
        beside = "".join(f",{name}={value}" for name, value in self.beside.items())
        return f"{self.place.spec.__name__}{path}.{self.field}{beside}"


def places(spec: type[Spec], path: tuple[tuple[str, type[Spec]], ...] = ()) -> Iterator[Place]:
    """The spec, and every model in it, as often as it occurs."""
    here = Place(spec, path)
    yield here
    for name, about in here.model.model_fields.items():
        for model in _models_in(about.annotation):
            yield from places(spec, (*path, (name, model)))


def cases() -> list[Case]:
    """Every field that a plan has to show, at every place, in every context."""
    found = []
    for place in (*places(ClusterSpec), *places(JobSpec)):
        for name, about in place.model.model_fields.items():
            if get_origin(about.annotation) is not Literal or name != "kind":
                first = place.path[0][0] if place.path else name
                contexts = CONTEXTS.get(f"{place.spec.__name__}.{first}", ({},))
                found += [Case(place, name, beside) for beside in contexts]
    return [case for case in found if case.key not in NOT_PLANNED]


def specs(case: Case, smallest: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The field's values with a spec each. The first one is the default."""
    base = BASES_OF_FIELDS.get(case.key, BASES[case.place.model.__name__])
    default = base.get(case.field, case.place.model.model_fields[case.field].get_default(call_default_factory=True))
    given = [base, *({**base, case.field: value} for value in VALUES[case.key])]
    return [(fields.get(case.field, default), _in_its_place(case, fields, smallest)) for fields in given]


def planned(backend: Backend, spec: Any, *, opened: bool) -> Plan:
    """The plan of a spec.

    :param opened: its mounts are opened first, as Airflow's hook does.
    """
    if isinstance(spec, JobSpec):
        return _json(backend.plan_job(spec))
    if opened:
        keys = Credentials("keys", "aws", login="key", password="canary")
        spec, secrets = with_mounts(spec, {mount: open_mount(mount, keys if mount.conn_id else None) for mount in spec.mounts})
        return {**_json(backend.plan_cluster(spec)), "secrets": secrets}
    return _json(backend.plan_cluster(spec))


def check_field(backend: Backend, case: Case, smallest: Mapping[str, Any]) -> list[str]:
    """Assert that two values of a field are two plans, or that the backend refuses one in words that name the field.

    :return: the refusals. A case whose context the backend refuses has none.
    """
    if "max_workers" in case.beside and Feature.AUTOSCALING in backend.limits:
        return []
    plans: list[tuple[Any, Plan]] = []
    refusals = []
    for place, (value, spec) in enumerate(specs(case, smallest)):
        try:
            plan = planned(backend, spec, opened=case.key in OF_THE_MOUNTS_SETTINGS)
        except SpecError as error:
            if not any(name in str(error) for name in case.names):
                raise AssertionError(f"{case}: the refusal does not name the field: {error}") from error
            refusals.append(str(error))
            continue
        for other, same in plans:
            assert plan != same, f"{case}: {value!r} and {other!r} are planned alike: the backend does not look at the field"
        if place or case.key not in SERVICES_CHOICE:
            plans.append((value, plan))
    return refusals


def _in_its_place(case: Case, fields: Mapping[str, Any], smallest: Mapping[str, Any]) -> Any:
    """A spec that holds the model with these fields where the case has it."""
    inner: Any = dict(fields)
    for depth in range(len(case.place.path), 0, -1):
        name, model = case.place.path[depth - 1]
        outer = case.place.path[depth - 2][1] if depth > 1 else case.place.spec
        held = inner if model.__name__ == "Node" else model(**inner)  # a node's fields are laid on the smallest cluster's
        many = get_origin(outer.model_fields[name].annotation) is tuple
        inner = {**BASES[outer.__name__], name: (held,) if many else held}
    lowest = smallest if case.place.spec is ClusterSpec else {}
    return case.place.spec(**merge(merge(lowest, case.beside), inner))


def _models_in(annotation: Any) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _json(plan: Plan) -> Plan:
    found: Plan = json.loads(json.dumps(plan))
    return found
