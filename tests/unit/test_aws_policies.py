"""The policies in docs/aws/ allow the calls that the code makes, and no other."""

from __future__ import annotations

import json
import re

import pytest

from scripts.aws_policies import DOCS, policies


@pytest.mark.parametrize("name", ["emr", "emr-serverless", "jobs"])
def test_the_policy_in_the_docs_is_that_of_the_code(name: str) -> None:
    assert json.loads((DOCS / f"{name}-policy.json").read_text()) == policies()[name], "run python -m scripts.aws_policies"


def test_calls_are_found_as_methods_and_as_pages() -> None:
    allowed = {action for policy in policies().values() for item in policy["Statement"] for action in item["Action"]}
    assert {"elasticmapreduce:ListSteps", "elasticmapreduce:RunJobFlow", "emr-serverless:StopApplication"} <= allowed
    assert {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "iam:PassRole"} <= allowed
    assert not [
        action for action in allowed if not re.fullmatch(r"(elasticmapreduce|emr-serverless|s3|iam):[A-Z][A-Za-z]+", action)
    ]
