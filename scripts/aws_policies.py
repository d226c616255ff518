"""The least that AWS must allow, read from the calls that the code makes: ``python -m scripts.aws_policies`` writes docs/aws/."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore import xform_name  # type: ignore[import-untyped]
from botocore.session import get_session  # type: ignore[import-untyped]

from airflow_ml_provider.backends.aws.errors import iam_action
from airflow_ml_provider.backends.aws.tags import OWNER

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "aws"
_BACKENDS = ROOT / "airflow_ml_provider" / "backends"
BUCKET = "arn:aws:s3:::BUCKET"
STAGED = f"{BUCKET}/PREFIX/*"
_IMPLIED = {
    "emr": {"RunJobFlow": "elasticmapreduce:AddTags", "StartSession": "elasticmapreduce:AddTags"},
    "emr-serverless": {"CreateApplication": "emr-serverless:TagResource", "StartSession": "emr-serverless:TagResource"},
}
"""What a call takes beside its own action: it tags what it makes."""
_ANY = ("RunJobFlow", "ListClusters", "DescribeCluster", "CreateApplication", "ListApplications", "GetApplication")
"""Calls that name no cluster, or one of which it is not known yet whose it is."""
_PASSED = {
    "emr": (["arn:aws:iam::ACCOUNT:role/SERVICE_ROLE", "arn:aws:iam::ACCOUNT:role/MACHINES_ROLE"], "*"),
    "emr-serverless": (["arn:aws:iam::ACCOUNT:role/JOB_ROLE"], "emr-serverless.amazonaws.com"),
}


def calls(service: str, *paths: Path) -> set[str]:
    """The operations of a service that the files name, as methods or to a paginator."""
    operations = {xform_name(name): name for name in get_session().get_service_model(service).operation_names}
    return {operations[name] for path in paths for name in _names(path) if name in operations}


def policies() -> dict[str, Any]:
    """The policies by file name: of whoever the connection signs in as, and of the role that jobs run as."""
    made = {service: _policy(service) for service in _PASSED}
    return {**made, "jobs": _document([_statement("Staged", _JOB_ACTIONS, STAGED)])}


_JOB_ACTIONS = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}


def _policy(service: str) -> Any:
    own = calls(service, *(_BACKENDS / service.replace("-", "_")).glob("*.py"))
    stored = calls("s3", _BACKENDS / "aws" / "storage.py")
    new = {iam_action(name) for name in own if name in _ANY} | {also for name, also in _IMPLIED[service].items() if name in own}
    tagged = "elasticmapreduce:ResourceTag" if service == "emr" else "aws:ResourceTag"
    actions = {iam_action(name) for name in stored}
    roles, to = _PASSED[service]
    passing = {} if to == "*" else {"StringEquals": {"iam:PassedToService": to}}
    return _document(
        [
            _statement("Make", new, "*"),
            _statement(
                "Ours",
                {iam_action(name, service) for name in own if name not in _ANY},
                "*",
                {"StringLike": {f"{tagged}/{OWNER}": "*"}},
            ),
            _statement("PassRoles", {"iam:PassRole"}, roles, passing),
            _statement("Staged", actions - {"s3:ListBucket"}, STAGED),
            _statement("StagedList", actions & {"s3:ListBucket"}, BUCKET),  # who may not list is told 403 for 404
        ]
    )


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get_paginator":
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))


def _statement(sid: str, actions: set[str], resource: Any, condition: Any = None) -> dict[str, Any]:
    allowed = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resource}
    return {**allowed, "Condition": condition} if condition else allowed


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


if __name__ == "__main__":
    for name, policy in policies().items():
        (DOCS / f"{name}-policy.json").write_text(json.dumps(policy, indent=2) + "\n", encoding="utf-8")
