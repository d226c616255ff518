"""The keyword arguments of what a DAG file calls, for type checkers and editors. Nothing here runs.

A field that Airflow renders takes a template (a text) or another task's output in the place of its value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict

if TYPE_CHECKING:
    from airflow.sdk import DAG, TaskGroup
    from airflow.sdk.definitions.xcom_arg import XComArg

    from airflow_ml_provider.core.libraries import Library
    from airflow_ml_provider.core.programs import Program
    from airflow_ml_provider.core.spec import Mount, Node, Spec

    Callback = Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None


class TaskFields(TypedDict, total=False):
    """Those of Airflow's ``BaseOperator``."""

    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: bool | float
    max_retry_delay: timedelta | float | None
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: Any
    queue: str
    pool: str | None
    pool_slots: int
    execution_timeout: timedelta | None
    on_execute_callback: Callback
    on_failure_callback: Callback
    on_success_callback: Callback
    on_retry_callback: Callback
    on_skipped_callback: Callback
    pre_execute: Callable[[Any], Any] | None
    post_execute: Callable[[Any, Any], Any] | None
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    inlets: Any
    outlets: Any
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class GroupFields(TypedDict, total=False):
    """Those of Airflow's ``TaskGroup``, but its id."""

    prefix_group_id: bool
    parent_group: TaskGroup | None
    dag: DAG
    default_args: dict[str, Any]
    tooltip: str
    doc_md: str | None
    ui_color: str
    ui_fgcolor: str
    group_display_name: str


class ClusterFields(TypedDict, total=False):
    """Those of :class:`~airflow_ml_provider.core.spec.ClusterSpec`."""

    name: str
    driver: Node | Mapping[str, Any]
    worker: Node | Mapping[str, Any]
    workers: int | str
    max_workers: int | str | None
    spark_version: str | None
    spark_conf: Mapping[str, str]
    env: Mapping[str, str]
    idle_timeout: timedelta | str | None
    max_lifetime: timedelta | str | None
    tags: Mapping[str, str]
    libraries: Sequence[Library | str | Mapping[str, Any]]
    mounts: Sequence[Mount | str | Mapping[str, Any]]
    native: Mapping[str, Any]


class ClusterGroupFields(ClusterFields, GroupFields, total=False):
    """Those of a :class:`~airflow_ml_provider.cluster.SparkCluster` that it does not name itself."""


class JobFields(TaskFields, total=False):
    """Those of a job, but its cluster and its program, and those of Airflow's ``BaseOperator``."""

    git: Spec | Mapping[str, Any] | None
    args: Sequence[Any] | XComArg
    name: str | None
    env: Mapping[str, str]
    spark_conf: Mapping[str, str]
    files: Sequence[str]
    libraries: Sequence[Library | str | Mapping[str, Any]]
    timeout: timedelta | str | None
    native: Mapping[str, Any]
    mlflow_conn_id: str | None
    experiment: str | None
    warm: bool
    deferrable: bool
    poll_interval: float | None
    stream_logs: bool


class ProgramFields(JobFields, total=False):
    """Those of a job on a known cluster."""

    program: Required[Program | str | Mapping[str, Any] | XComArg]


class PartialFields(JobFields, total=False):
    """Those of mapped jobs: what is not here comes from ``expand``."""

    program: Program | str | Mapping[str, Any] | XComArg


class FunctionFields(JobFields, total=False):
    """Those of a decorated function's task."""

    cluster: Any
    task_id: str
    api: Literal["connect", "classic"]
