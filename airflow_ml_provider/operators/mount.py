"""Operators that make and remove mounts while DAGs run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Variable
from airflow.sdk.bases.operator import BaseOperator

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.mounts import Mount
from airflow_ml_provider.operators.base import check_constants, final_errors, insist

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_ml_provider.hooks.mount import MountHook


class MountStorageOperator(BaseOperator):
    """Give a place in storage a name, for every later task and DAG run, and return it as ``mount://<name>``.

    The mount is kept as the Airflow Variable ``mount.<name>``, which holds no secret. A connection of type ``mount`` with the same
    id goes before it. The source is listed once, so that a wrong one fails here and not in a job. Fields as in
    :class:`~airflow_ml_provider.core.mounts.Mount`, templated.

    :raises AirflowFailException: a field is wrong, or the source cannot be opened.
    """

    template_fields: Sequence[str] = ("name", "source", "conn_id")
    ui_color = "#dfe8f1"

    def __init__(
        self, *, name: str, source: str, conn_id: str | None = None, read_only: bool = False, fuse: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.source = source
        self.conn_id = conn_id
        self.read_only = read_only
        self.fuse = fuse
        check_constants(Mount, self._fields(), name="name", source="/")

    def execute(self, context: Context) -> str:
        from airflow_ml_provider.hooks.mount import MountHook, variable_name

        with final_errors():
            mount = Mount(**self._fields())
            hook = MountHook(mount)
            insist(lambda: _look(hook), log=self.log)
            Variable.set(
                variable_name(mount.name), json.dumps(mount.model_dump(mode="json")), description=f"A mount: {mount.source}"
            )
        self.log.info("mount://%s is %s", mount.name, mount.source)
        return f"mount://{mount.name}"

    def _fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("name", "source", "conn_id", "read_only", "fuse")}


def _look(hook: MountHook) -> None:
    """List the source, and make it where it is not there yet."""
    from airflow_ml_provider.core.storage.faults import translated

    path = hook.opened.path
    with translated(hook.mount.source):
        try:
            hook.filesystem.ls(path, detail=False)
        except FileNotFoundError:
            if hook.mount.read_only:
                raise SpecError(f"source: got {hook.mount.source!r}: does not exist, and the mount is read-only") from None
            hook.filesystem.makedirs(path, exist_ok=True)


class UnmountStorageOperator(BaseOperator):
    """Forget a mount that :class:`MountStorageOperator` made. What lies in storage stays; no such mount is fine.

    :param name: of the mount. Templated.
    """

    template_fields: Sequence[str] = ("name",)
    ui_color = "#dfe8f1"

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = name

    def execute(self, context: Context) -> None:
        from airflow_ml_provider.hooks.mount import variable_name

        Variable.delete(variable_name(self.name))
        self.log.info("mount://%s is forgotten", self.name)
