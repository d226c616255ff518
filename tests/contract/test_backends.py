"""The contract on every backend, and the rule that none is left out."""

from __future__ import annotations

import pytest

from airflow_ml_provider.core.registry import BACKENDS, backend_class
from tests.contract.contract import BackendContract
from tests.contract.faults import FaultContract
from tests.contract.rigs import RIGS


class TestMemory(FaultContract):
    name = "memory"


class TestLocal(BackendContract):
    name = "local"


class TestEmr(FaultContract):
    name = "emr"


class TestEmrServerless(FaultContract):
    name = "emr-serverless"


SUITES = {suite.name: suite for suite in (TestMemory, TestLocal, TestEmr, TestEmrServerless)}
OF_THIS_MACHINE = ("local",)
"""Backends without a service: tests/contract/test_local_faults.py has their faults."""


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_every_registered_backend_keeps_the_contract(name: str) -> None:
    assert name in RIGS, f"give the backend {name!r} a rig in tests/contract/rigs.py and a class in this file"
    assert name in SUITES, f"the backend {name!r} has no class in this file"
    assert issubclass(SUITES[name], FaultContract) or name in OF_THIS_MACHINE, f"the faults of {name!r} are not shown"
    assert backend_class(name).name == name
