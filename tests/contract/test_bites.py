"""The contract catches a backend that does not look at one field of a spec."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ml_provider.backends.memory import MemoryBackend
from airflow_ml_provider.core.backend import Feature, Plan
from airflow_ml_provider.core.spec import ClusterSpec, JobSpec
from tests.contract.fields import (
    FEATURES,
    NOT_PLANNED,
    OF_THE_MOUNTS_SETTINGS,
    VALUES,
    Case,
    Place,
    cases,
    check_field,
    places,
    specs,
)

NAMES_OF_FIELDS = {
    f"{place.model.__name__}.{name}"
    for spec in (ClusterSpec, JobSpec)
    for place in places(spec)
    for name in place.model.model_fields
    if name != "kind"
}


class Deaf(MemoryBackend):
    """Plans every spec as if one field had its default."""

    def __init__(self, case: Case) -> None:
        super().__init__("deaf")
        self.case, self.default = case, specs(case, {})[0][0]

    def plan_cluster(self, spec: ClusterSpec) -> Plan:
        return super().plan_cluster(self._without(spec, ClusterSpec))

    def plan_job(self, spec: JobSpec) -> Plan:
        return super().plan_job(self._without(spec, JobSpec))

    def _without(self, spec: Any, kind: type[ClusterSpec | JobSpec]) -> Any:
        return _reset(spec, self.case.place, self.case.field, self.default) if self.case.place.spec is kind else spec


def _reset(spec: Any, place: Place, field: str, default: Any) -> Any:
    """The spec with one field of a model in it at its default."""
    if not place.path:
        return spec.model_copy(update={field: default})
    (name, model), rest = place.path[0], Place(place.path[0][1], place.path[1:])
    held = getattr(spec, name)
    changed = [_reset(item, rest, field, default) if isinstance(item, model) else item for item in _many(held)]
    return spec.model_copy(update={name: tuple(changed) if isinstance(held, tuple) else changed[0]})


def _many(held: Any) -> tuple[Any, ...]:
    return held if isinstance(held, tuple) else (held,)


def test_every_field_has_values_or_a_test_of_its_own() -> None:
    assert {*VALUES, *NOT_PLANNED} == NAMES_OF_FIELDS
    assert {*FEATURES} == {*Feature}
    assert {*FEATURES.values()} <= {*VALUES}


@pytest.mark.parametrize("case", [case for case in cases() if case.key not in OF_THE_MOUNTS_SETTINGS], ids=str)
def test_a_backend_that_does_not_look_at_a_field_is_caught(case: Case) -> None:
    check_field(MemoryBackend("hears"), case, {})
    with pytest.raises(AssertionError, match="does not look at the field"):
        check_field(Deaf(case), case, {})


@pytest.mark.parametrize("field", sorted(OF_THE_MOUNTS_SETTINGS))
def test_what_mounts_need_of_spark_reaches_every_backend_as_properties(field: str) -> None:
    """A backend that drops these drops ``spark_conf``, and that is caught."""
    (case,) = (case for case in cases() if case.key == field)
    check_field(MemoryBackend("hears"), case, {})


def test_a_limit_that_is_listed_and_not_kept_is_caught() -> None:
    class Claims(MemoryBackend):
        limits = {Feature.GPUS: "it has none"}

        def plan_cluster(self, spec: ClusterSpec) -> Plan:
            return super().plan_cluster(spec.model_copy(update={"driver": spec.driver.model_copy(update={"gpus": 0})}))

    case = next(case for case in cases() if str(case) == "ClusterSpec.driver[Node].gpus")
    with pytest.raises(AssertionError, match="does not look at the field"):
        check_field(Claims("claims"), case, {})
