"""The one string that names a cluster or a job from any process: ``emr://aws_default/j-2AX/s-3Y``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from airflow_ml_provider.core.errors import SpecError

_SHAPE = re.compile(r"(?P<backend>[a-z][a-z0-9-]*)://(?P<conn_id>[^/]+)/(?P<cluster>[^/]+)(?:/(?P<job>[^/]+))?")


@dataclass(frozen=True, slots=True)
class Handle:
    """A cluster (``job`` is None) or a job on one.

    :param backend: the service's name, such as ``local``.
    :param conn_id: the Airflow connection of type ``spark_cluster`` that reaches it.
    """

    backend: str
    conn_id: str
    cluster: str
    job: str | None = None

    @classmethod
    def parse(cls, text: str) -> Handle:
        """Read a handle back; :class:`SpecError` when it is none."""
        match = _SHAPE.fullmatch(text) if isinstance(text, str) else None
        if not match:
            raise SpecError(f"handle: got {text!r}: takes backend://connection/cluster or backend://connection/cluster/job")
        parts = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
        return cls(**parts)

    def with_job(self, job: str) -> Handle:
        """The handle of a job on this cluster."""
        return replace(self, job=job)

    @property
    def of_cluster(self) -> Handle:
        """The handle of the cluster itself."""
        return replace(self, job=None)

    def __str__(self) -> str:
        path = "/".join(quote(part, safe="") for part in (self.conn_id, self.cluster, self.job) if part is not None)
        return f"{self.backend}://{path}"
