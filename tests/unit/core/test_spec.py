"""Specs: what they take, and what they say when they do not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_ml_provider.core.errors import ProviderError, SpecError
from airflow_ml_provider.core.notebooks import notebook_code
from airflow_ml_provider.core.programs import Notebook, Shipped
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec, Node, PyPI, PythonCode, PythonFile, memory_mib, merge


def problems(spec: type, **fields: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        spec(**fields)
    return caught.value.problems


def test_text_from_a_template_becomes_what_the_field_takes() -> None:
    spec = ClusterSpec(workers="4", driver={"cores": "2"}, idle_timeout="600", max_lifetime="PT2H")
    assert (spec.workers, spec.driver.cores) == (4, 2)
    assert (spec.idle_timeout, spec.max_lifetime) == (timedelta(minutes=10), timedelta(hours=2))


def test_numbers_become_the_text_that_spark_properties_are() -> None:
    assert ClusterSpec(spark_conf={"spark.sql.shuffle.partitions": 8}).spark_conf == {"spark.sql.shuffle.partitions": "8"}


def test_the_defaults_end_a_forgotten_cluster() -> None:
    spec = ClusterSpec()
    assert (spec.idle_timeout, spec.max_lifetime, spec.workers) == (timedelta(minutes=30), timedelta(hours=24), 0)


@pytest.mark.parametrize("name", ["idle_timeout", "max_lifetime"])
def test_a_limit_can_be_lifted_and_is_never_nought(name: str) -> None:
    assert getattr(ClusterSpec(**{name: None}), name) is None
    (problem,) = problems(ClusterSpec, **{name: 0})
    assert problem.startswith(f"ClusterSpec.{name}: got 0: ")


def test_a_wrong_field_is_named_with_what_it_got_and_what_it_takes() -> None:
    (problem,) = problems(ClusterSpec, workers="many")
    assert problem.startswith("ClusterSpec.workers: got 'many': ")
    assert "integer" in problem


def test_every_problem_is_told_at_once() -> None:
    found = problems(ClusterSpec, workers=-1, driver={"memory": "4"}, name="with space")
    assert {text.split(":")[0] for text in found} == {"ClusterSpec.name", "ClusterSpec.driver", "ClusterSpec.workers"}
    assert "ClusterSpec.driver: Node.memory: got '4': takes a size with a unit, such as 512m or 4g" in found


def test_an_unknown_field_gets_the_nearest_name() -> None:
    assert problems(ClusterSpec, workrs=1) == ("ClusterSpec.workrs: no such field. Did you mean 'workers'?",)


def test_an_unknown_field_like_no_other_gets_all_the_names() -> None:
    (problem,) = problems(Node, zzz=1)
    assert problem == "Node.zzz: no such field. The fields are cores, memory, gpus, instance_type, spot."


def test_a_missing_field_is_named() -> None:
    assert "JobSpec.program: is required" in problems(JobSpec, name="job")


def test_scaling_goes_upwards() -> None:
    assert problems(ClusterSpec, workers=4, max_workers=2) == ("ClusterSpec: max_workers=2 is less than workers=4",)


def test_specs_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ClusterSpec().workers = 3  # type: ignore[misc]


def test_a_spec_error_is_a_value_error_of_ours() -> None:
    with pytest.raises(ValueError, match="cores") as caught:
        Node(cores=0)
    assert isinstance(caught.value, ProviderError)


def test_a_spec_survives_json() -> None:
    spec = ClusterSpec(name="etl", workers=2, worker=Node(cores=2, memory="4G"), native={"a": {"b": 1}})
    assert ClusterSpec(**spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("given", "kind"),
    [({"kind": "python_file", "path": "/a.py"}, PythonFile), ({"kind": "python_code", "source": "1"}, PythonCode)],
)
def test_a_program_is_known_by_its_kind(given: dict[str, Any], kind: type) -> None:
    assert type(JobSpec(name="job", program=given).program) is kind


def test_a_program_of_no_known_kind_is_refused() -> None:
    (problem,) = problems(JobSpec, name="job", program={"kind": "perl"})
    assert "python_file" in problem
    assert "python_code" in problem


@pytest.mark.parametrize("fields", [{"path": ""}, {"path": "/a.py", "api": "rdd"}, {"path": "/a.py", "arg": 1}])
def test_a_wrong_program_is_refused(fields: dict[str, Any]) -> None:
    assert problems(PythonFile, **fields)


@pytest.mark.parametrize(
    ("text", "mib"), [("512m", 512), ("4g", 4096), ("4GB", 4096), ("1t", 1024 * 1024), (" 2 GiB ", 2048), ("2048k", 2)]
)
def test_sizes(text: str, mib: int) -> None:
    assert memory_mib(text) == mib


@pytest.mark.parametrize("text", ["", "4", "g", "-1g", "4 gigs", "1.5g", "0m", "100k"])
def test_what_is_no_size(text: str) -> None:
    (problem,) = problems(Node, memory=text)
    assert problem.startswith(f"Node.memory: got {text!r}: takes ")


def test_names_fit_every_service() -> None:
    for name in ("a", "etl_1.x-y", "a" * 63):
        assert ClusterSpec(name=name).name == name
    for name in ("", "-a", "a b", "a/b", "a" * 64, "a\n"):
        assert problems(ClusterSpec, name=name)


def test_merge_goes_into_mappings_and_replaces_the_rest() -> None:
    base = {"a": {"b": 1, "c": [1]}, "d": 1}
    assert merge(base, {"a": {"c": [2], "e": 3}, "d": {"f": 1}}) == {"a": {"b": 1, "c": [2], "e": 3}, "d": {"f": 1}}
    assert base == {"a": {"b": 1, "c": [1]}, "d": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {"requirement": "corp", "index_url": "https://user:canary@pypi.corp/simple"},
        {"requirement": "corp @ https://user:canary@pypi.corp/corp-1.0-py3-none-any.whl"},
        {"requirement": "corp @ git+https://canary@git.corp/corp.git"},
    ],
)
def test_a_package_names_no_login(fields: dict[str, str]) -> None:
    """It is in command lines, and in plans, which are printable."""
    (problem,) = problems(PyPI, **fields)
    assert "holds a user's name or password, and a plan is printable: keep them in pip.conf or .netrc" in problem
    assert "canary" not in problem
    assert PyPI("corp @ git+ssh://git@git.corp/corp.git").requirement


def test_a_shipped_notebook_that_is_none_is_refused_by_name() -> None:
    shipped = Shipped(notebook="a", files={"a": {"name": "a.txt", "text": "1"}})
    with pytest.raises(SpecError, match=r"^Notebook\.shipped: a\.txt: "):
        notebook_code(Notebook(source="1", shipped=shipped))
