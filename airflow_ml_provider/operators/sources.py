"""Where the paths of a task's program start: at the DAG file's folder, or at the top of a Git repository."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from airflow_ml_provider.core.git import GitSource, git_tags
from airflow_ml_provider.operators.base import insist
from airflow_ml_provider.operators.context import run_key

log = logging.getLogger(__name__)
COMMIT_KEY = "git_commit"
"""The XCom that holds the commit."""


def program_folder(git: Mapping[str, Any] | None, context: Mapping[str, Any]) -> Path:
    """The folder on this machine; a repository is fetched if need be, at the commit that the DAG run has for it."""
    return Path(context["dag"].folder) if git is None else _checked_out(GitSource(**git), context)[0]


def source_tags(git: Mapping[str, Any] | None, context: Mapping[str, Any]) -> dict[str, str]:
    """What an MLflow run tells of the repository; nothing without one. The commit becomes an XCom of the task, too."""
    if git is None:
        return {}
    source = GitSource(**git)
    commit = _checked_out(source, context)[1]
    context["ti"].xcom_push(key=COMMIT_KEY, value=commit)
    log.info("The program is that of %s at commit %s", source.shown, commit)
    return git_tags(source, commit)


def _checked_out(source: GitSource, context: Mapping[str, Any]) -> tuple[Path, str]:
    from airflow_ml_provider.hooks.git_source import checked_out

    return insist(partial(checked_out, source, run_key(context)), log=log)
