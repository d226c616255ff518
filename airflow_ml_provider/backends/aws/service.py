"""What the services of Amazon have in common as backends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from airflow_ml_provider.backends.aws import sessions
from airflow_ml_provider.backends.aws.logs import Logs
from airflow_ml_provider.backends.aws.storage import Store
from airflow_ml_provider.core.backend import Endpoint, Feature
from airflow_ml_provider.core.spec import PythonCode, PythonFile, Spec
from airflow_ml_provider.core.staging import Place
from airflow_ml_provider.core.state import ClusterStatus

NO_FOLDERS: Mapping[Feature, str] = {
    Feature.FUSE_MOUNTS: "its machines have nothing that shows a store as a folder: read the mount's dbfs:/ path with Spark"
}
"""Limits of both services."""
_ONE_BY_ONE = 2


class AwsService:
    """Base of the backends.

    :param clients: gives a boto3 client by the service's name, the backend's own or ``s3``. It should not ask again by itself for
        long.
    :param staging_uri: ``s3://bucket/folder``, where programs, results and by default logs are kept.
    """

    name: ClassVar[str]
    programs: ClassVar[frozenset[type[Spec]]] = frozenset({PythonFile, PythonCode})

    def __init__(self, clients: Callable[[str], Any], staging_uri: str) -> None:
        self.staging = Place.parse(staging_uri, "s3", "s3a")
        self.store = Store(lambda: clients("s3"))
        self.log_files = Logs(lambda: clients("s3"))
        self._clients = clients

    @property
    def emr(self) -> Any:
        """The service's client."""
        return self._clients(self.name)

    def describe(self, clusters: Collection[str]) -> dict[str, ClusterStatus]:
        live = self._live() if len(clusters) > _ONE_BY_ONE else {}
        return {
            cluster: self._status(cluster, live[cluster]) if cluster in live else self._describe(cluster) for cluster in clusters
        }

    def check(self) -> str:
        """What the Test button asks beside the clusters: whether the staging area takes files."""
        self.store.write(self.staging / "check", b"")
        self.store.remove(self.staging / "check")
        return f"staging in {self.staging}"

    def connect(self, cluster: str) -> Endpoint | None:
        found = self._sessions(cluster)
        live = sessions.current(cluster, found)
        if live is None:
            self._start_session(cluster, found)
            return None
        return self._endpoint(cluster, live.id) if live.state in sessions.READY else None

    def _sessions(self, cluster: str) -> list[sessions.Session]:
        """The Spark Connect sessions of the cluster that this provider made.

        :raises NotFound: no such cluster.
        :raises SpecError: it can have none.
        """
        raise NotImplementedError

    def _start_session(self, cluster: str, before: Sequence[sessions.Session]) -> None:
        """Ask for a session after those."""
        raise NotImplementedError

    def _endpoint(self, cluster: str, session: str) -> Endpoint:
        """Where a session is reached."""
        raise NotImplementedError

    def _live(self) -> dict[str, Mapping[str, Any]]:
        """What the service lists of every cluster that has not ended, by id."""
        raise NotImplementedError

    def _describe(self, cluster: str) -> ClusterStatus:
        """One look at one cluster."""
        raise NotImplementedError

    def _status(self, cluster: str, found: Mapping[str, Any]) -> ClusterStatus:
        """Our status for what the service tells of a cluster."""
        raise NotImplementedError
