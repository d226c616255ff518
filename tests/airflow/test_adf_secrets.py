"""Secrets of Key Vaults and of SecureString parameters, and what lies in Airflow's database of them.

"Use Azure Key Vault secrets in pipeline activities" hands them on in outputs with ``secureOutput``; "Pipeline parameters and variables"
has the parameter's type SecureString, whose values Data Factory shows nowhere.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_ml_provider.adf.airflow.dag_params import params_of
from airflow_ml_provider.adf.airflow.known_secrets import SECRET, KnownSecrets
from airflow_ml_provider.adf.model import Parameter
from tests.airflow.conftest import Run
from tests.airflow.test_adf_control import each, expression, put
from tests.airflow.test_adf_semantics import after, bad, pipeline
from tests.airflow.test_adf_web import fernet

__all__ = ["fernet", "pipeline"]

WORD = "a-word-of-mine"
PASSWORD = {"password": {"type": "SecureString", "defaultValue": WORD}}
VAULT = {
    "type": "AzureKeyVaultSecret",
    "secretName": "db-word",
    "store": {"referenceName": "v", "type": "LinkedServiceReference"},
}
VARIABLES = {name: {"type": "String"} for name in ("kept", "again", "coded")}


def shown(done: Run) -> str:
    return json.dumps([str(one) for one in done.xcoms().items()])


def test_a_secure_string_in_variables_and_loops_is_sealed(pipeline: Callable[..., Run], fernet: None) -> None:
    inside = put("again", "again", "@item()")
    done = pipeline(
        "words",
        put("keep", "kept", expression("@pipeline().parameters.password")),
        put("code", "coded", expression("@base64(variables('kept'))"), after("keep")),
        each("loop", "@createArray(variables('kept'))", inside, after_=(after("code"),)),
        parameters=PASSWORD,
        variables=VARIABLES,
    )
    assert done.state == "success"
    assert WORD not in shown(done)
    assert base64.b64encode(WORD.encode()).decode() not in shown(done)


def test_a_key_vault_secret_in_a_variable_is_sealed(
    pipeline: Callable[..., Run], fernet: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_DB-WORD", WORD)
    done = pipeline("vault", put("keep", "kept", VAULT), variables=VARIABLES)
    assert done.state == "success"
    assert WORD not in shown(done)


def test_a_secret_is_in_no_error_message(pipeline: Callable[..., Run], fernet: None, log: Callable[[], str]) -> None:
    done = pipeline("told", bad("the word is @{pipeline().parameters.password}"), parameters=PASSWORD)
    assert done.state == "failed"
    assert WORD not in shown(done) + log()


def test_a_secure_default_is_in_no_dag() -> None:
    found = params_of({"password": Parameter("SecureString", WORD), "plain": Parameter("String", "x")}, scheduled=False)
    assert WORD not in json.dumps([one.serialize() for one in found.values()])
    assert found["plain"].value == "x"


def test_a_run_is_given_secrets_sealed(fernet: None) -> None:
    mine, theirs = KnownSecrets(), KnownSecrets()
    mine.learn(WORD)
    given: Any = mine.sealed({"url": f"db://me:{WORD}@host"})
    assert given.keys() == {SECRET}
    assert WORD not in json.dumps(given)
    assert theirs.opened(given) == {"url": f"db://me:{WORD}@host"}
    assert theirs.are_in([f"db://me:{WORD}@host"])
    assert mine.sealed({"url": "db://host"}) == {"url": "db://host"}
