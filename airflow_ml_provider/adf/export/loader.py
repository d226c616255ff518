"""Exports on disk: a Git-mode folder, a pipeline's file, an ARM template, of Data Factory or Synapse.

Nothing that one file holds stops the rest: what cannot be read is told in :attr:`Factory.problems`, with its file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from airflow_ml_provider.adf.errors import DocumentError
from airflow_ml_provider.adf.export import arm_template
from airflow_ml_provider.adf.export.lenient_json import read_json
from airflow_ml_provider.adf.export.pipeline_reader import read_pipeline
from airflow_ml_provider.adf.fields import pick
from airflow_ml_provider.adf.model import Factory, Json, Pipeline, Problem, Resource
from airflow_ml_provider.adf.support import databricks_jobs

_SKIPPED = frozenset({".git", ".github", ".venv", "node_modules", "__pycache__"})
_FOLDERS = {
    "credential": "credential",
    "dataflow": "dataflow",
    "dataset": "dataset",
    "factorie": "factory",
    "factory": "factory",
    "integrationruntime": "integrationRuntime",
    "linkedservice": "linkedService",
    "managedvirtualnetwork": "managedVirtualNetwork",
    "notebook": "notebook",
    "pipeline": "pipeline",
    "sparkjobdefinition": "sparkJobDefinition",
    "sqlscript": "sqlscript",
    "trigger": "trigger",
}
"""Folders of Git mode, and the last word of an ARM type; a plural's s is taken off first."""
_NAMES = ("factoryName", "workspaceName")
"""Parameters of ARM templates, as the portal exports them."""
_FLOWS = ("MappingDataFlow", "WranglingDataFlow", "Flowlet")
_RUNTIMES = ("Managed", "SelfHosted")
_FIELDS = {
    "dataset": "datasets",
    "linkedService": "linked_services",
    "trigger": "triggers",
    "dataflow": "data_flows",
    "integrationRuntime": "integration_runtimes",
}


def load(path: str | os.PathLike[str], parameters: Mapping[str, Json] | None = None) -> Factory:
    """All that a file or a folder holds, at any depth, in the order of the paths.

    :param parameters: values for the parameters of ARM templates, before those of parameter files that lie beside them.
    :raises DocumentError: there is nothing at ``path``.
    """
    root = Path(path)
    if not root.exists():
        raise DocumentError(f"{root}: no such file or folder")
    found = json_files(root)
    base = root if root.is_dir() else root.parent
    gathered = Gathered()
    documents: dict[PurePath, dict[str, Json]] = {}
    for file in found:
        source = file.relative_to(base)
        if document := gathered.read(file, source):
            documents[source] = document
    given = arm_template.parameter_files(documents)
    for place, document in documents.items():
        gathered.document(document, place, {**given.get(place.parent, {}), **(parameters or {})})
    return databricks_jobs.with_jobs(gathered.factory())


def json_files(root: Path) -> list[Path]:
    """The files that are read, in the order of their paths."""
    return sorted(_below(root)) if root.is_dir() else [root]


def _below(root: Path) -> Iterator[Path]:
    for folder, inside, names in os.walk(root):
        inside[:] = [name for name in inside if name not in _SKIPPED]
        yield from (Path(folder, name) for name in names if name.lower().endswith(".json"))


@dataclass
class Gathered:
    """What was found so far; of two equal resources, the first counts."""

    pipelines: list[Pipeline] = field(default_factory=list)
    resources: dict[str, list[Resource]] = field(default_factory=dict)
    global_parameters: dict[str, Json] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    seen: dict[tuple[str, str], list[Mapping[str, Json]]] = field(default_factory=dict)

    def read(self, file: Path, source: PurePath) -> dict[str, Json] | None:
        try:
            found = read_json(file.read_bytes())
            if not isinstance(found, dict):
                raise DocumentError(f"no Data Factory resource: got {type(found).__name__}: takes an object")
        except (DocumentError, OSError) as error:
            self.problems.append(Problem(source, str(error), fatal=True))
            return None
        return found

    def document(self, document: Mapping[str, Json], source: PurePath, parameters: Mapping[str, Json]) -> None:
        """Take in one file."""
        if arm_template.is_parameter_file(document):
            return
        if not arm_template.is_template(document):
            for one in _listed(document):
                if databricks_jobs.is_definition(one):
                    self._add(databricks_jobs.KIND, databricks_jobs.name_in(one, source), one, source)
                else:
                    self._resource(_named(one, source), source)
            return
        template = arm_template.Template(document, parameters)
        before = len(self.problems)
        found = list(template.resources())
        if name := next((name for key in _NAMES if isinstance(name := pick(template.parameters, key), str) and name), ""):
            self._add_factory(name, source)
        for one in found:
            self._resource(one, source)
        self.problems.extend(Problem(source, reason) for reason in template.problems)
        if not found and len(self.problems) == before:
            self.problems.append(Problem(source, "an ARM template without resources of Data Factory", fatal=True))

    def _resource(self, raw: Mapping[str, Json], source: PurePath) -> None:
        """Take in one resource: ``name``, ``type`` (of ARM, may be missing) and ``properties``."""
        name, properties = str(raw["name"]), pick(raw, "properties")
        if properties is None and isinstance(pick(raw, "activities"), list):
            properties = raw  # as Azure's command line shows it
        try:
            if not isinstance(properties, Mapping):
                raise DocumentError("no Data Factory resource: it has no 'properties'")
            kind = _kind(str(pick(raw, "type") or ""), properties, source)
            if not self._is_known(kind, name, properties):
                self._add(kind, name, properties, source)
        except DocumentError as error:
            self.problems.append(Problem(source, str(error), (name,), fatal=True))

    def _add(self, kind: str, name: str, properties: Mapping[str, Json], source: PurePath) -> None:
        if kind == "pipeline":
            pipeline = read_pipeline(name, properties, source)
            if any(one.key == pipeline.key for one in self.pipelines):
                raise DocumentError(f"a second pipeline named {name!r} in this file: left out")
            self.pipelines.append(pipeline)
            self.problems.extend(pipeline.problems)
        elif kind == "factory":
            given = pick(properties, "globalParameters")
            bags = given if isinstance(given, Mapping) else {}
            self._add_factory(name, source)
            self.global_parameters.update({key: pick(bag, "value") for key, bag in bags.items() if isinstance(bag, Mapping)})
        else:
            resource = Resource(kind, name, str(pick(properties, "type") or ""), properties, source)
            self.resources.setdefault(_FIELDS.get(kind, "other"), []).append(resource)

    def _add_factory(self, name: str, source: PurePath) -> None:
        self.resources.setdefault("factories", []).append(Resource("factory", name, "", {}, source))

    def _is_known(self, kind: str, name: str, properties: Mapping[str, Json]) -> bool:
        same = self.seen.setdefault((kind, name.casefold()), [])
        if properties in same:
            return True
        same.append(properties)
        return False

    def factory(self) -> Factory:
        found = {name: tuple(resources) for name, resources in self.resources.items()}
        return Factory(
            pipelines=tuple(self.pipelines),
            global_parameters=self.global_parameters,
            problems=tuple(self.problems),
            **found,
        )


def _listed(document: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """The resources of a document: itself, or those of an answer of Azure's API, ``{"value": [...]}``."""
    value = pick(document, "value")
    found = [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
    return found if found and pick(document, "properties") is None else [document]


def _named(document: Mapping[str, Json], source: PurePath) -> Mapping[str, Json]:
    """The document of one resource with the name in it, or else that of its file (of Fabric: of its folder)."""
    name = pick(document, "name")
    if not isinstance(name, str) or not name:
        item = source.parent.name.partition(".DataPipeline")
        name = item[0] if item[1] else source.stem
    return {**document, "name": name}


def _kind(arm_type: str, properties: Mapping[str, Json], source: PurePath) -> str:
    """What a resource is: by its ARM type, its activities, its folder, its content.

    :raises DocumentError: it is nothing of Data Factory.
    """
    declared = _FOLDERS.get(arm_type.rpartition("/")[2].casefold().removesuffix("s"))
    if not declared and arm_type.casefold().startswith(("microsoft.datafactory/", "microsoft.synapse/")):
        return arm_type.rpartition("/")[2]
    if not declared and isinstance(pick(properties, "activities"), list):
        return "pipeline"
    folder = _FOLDERS.get(source.parent.name.replace(" ", "").casefold().removesuffix("s"))
    if kind := declared or _kind_by_content(properties) or folder:
        return kind
    raise DocumentError("no Data Factory resource: neither its type, its folder nor its properties say what it is")


def _kind_by_content(properties: Mapping[str, Json]) -> str:
    kind = str(pick(properties, "type") or "")
    if pick(properties, "globalParameters") is not None:
        return "factory"
    if kind in _FLOWS:
        return "dataflow"
    if kind in _RUNTIMES:
        return "integrationRuntime"
    if kind.endswith("Trigger") or pick(properties, "pipelines") is not None:
        return "trigger"
    if kind and pick(properties, "linkedServiceName") is not None:
        return "dataset"
    return "linkedService" if kind and isinstance(pick(properties, "typeProperties"), Mapping) else ""
