"""What the services of Amazon have in common as backends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from airflow_ml_provider.backends.aws import sessions
from airflow_ml_provider.backends.aws.errors import translated
from airflow_ml_provider.backends.aws.logs import Logs
from airflow_ml_provider.backends.aws.once import token_of_new
from airflow_ml_provider.backends.aws.storage import Store
from airflow_ml_provider.core.backend import Endpoint, Feature
from airflow_ml_provider.core.errors import AccessDenied, NotFound, SpecError, Unavailable
from airflow_ml_provider.core.spec import PythonCode, PythonFile, Spec
from airflow_ml_provider.core.staging import Place, is_token
from airflow_ml_provider.core.state import ClusterState, ClusterStatus, JobState, JobStatus

NO_FOLDERS: Mapping[Feature, str] = {
    Feature.FUSE_MOUNTS: "its machines have nothing that shows a store as a folder: read the mount's dbfs:/ path with Spark"
}
"""Limits of both services."""
_ONE_BY_ONE = 2


class Facts(Protocol):
    """What never changes about a cluster."""

    @property
    def token(self) -> str:
        """The token that it was created with."""
        ...


class Clients(Protocol):
    """Gives boto3 clients."""

    def __call__(self, service: str, *, repeats: bool = True) -> Any:
        """The client of a service.

        :param repeats: whether it may repeat a call after a fault. Without it, a call that fails was sent once at most.
        """
        ...


class AwsService:
    """Base of the backends.

    :param clients: gives the clients of the backend's own service and of ``s3``. They should not repeat calls for long.
    :param staging_uri: ``s3://bucket/folder``, where programs, results and by default logs are kept.
    """

    name: ClassVar[str]
    programs: ClassVar[frozenset[type[Spec]]] = frozenset({PythonFile, PythonCode})

    def __init__(self, clients: Clients, staging_uri: str) -> None:
        self.staging = Place.parse(staging_uri, "s3", "s3a")
        self.ids = self.staging / "ids"
        self.store = Store(lambda: clients("s3"))
        self.log_files = Logs(lambda: clients("s3"))
        self._clients = clients

    @property
    def emr(self) -> Any:
        """The service's client, for calls that are safe to repeat."""
        with translated():
            return self._clients(self.name)

    @property
    def emr_once(self) -> Any:
        """The service's client for calls that are not: it repeats none."""
        with translated():
            return self._clients(self.name, repeats=False)

    def describe(self, clusters: Collection[str]) -> dict[str, ClusterStatus]:
        live = self._live() if len(clusters) > _ONE_BY_ONE else {}
        return {
            cluster: self._status(cluster, live[cluster]) if cluster in live else self._describe(cluster) for cluster in clusters
        }

    def check(self) -> str:
        """What the Test button asks beside the clusters: whether files of the staging area can be written, read and deleted.

        :raises AccessDenied: one of these is not granted; the message names the action.
        """
        folder = self.staging / "check"
        self.store.write(folder / "object", b"")
        try:
            self.store.read(folder / "object")
        finally:
            self._remove_check(folder)
        return f"staging in {self.staging}"

    def _remove_check(self, folder: Place) -> None:
        try:
            self.store.remove(folder)
        except AccessDenied as error:
            raise AccessDenied(f"{error}. {folder}/object stays in the bucket, as would the files of every cluster") from error

    def connect(self, cluster: str) -> Endpoint | None:
        found = self._sessions(cluster)
        live = sessions.current(cluster, found)
        if live is None:
            self._start_session(cluster, found)
            return None
        return self._endpoint(cluster, live.id) if live.state in sessions.READY else None

    def _is_ours(self, cluster: str) -> bool:
        """Whether this provider made the cluster: the service shows it so, or will do so in a moment."""
        return self._facts(cluster) is not None or self._token_of_new(cluster) is not None

    def _token_of_new(self, cluster: str) -> str | None:
        """The token of a cluster that this provider made a short time ago."""
        token = token_of_new(self.store, self.ids, cluster) if cluster.replace("-", "").isalnum() else None
        return token if token and is_token(token) else None

    def _absent_cluster(self, cluster: str) -> ClusterStatus:
        """The status of a cluster that the service does not show: is it gone, or not visible yet?"""
        if self._token_of_new(cluster):
            return ClusterStatus(ClusterState.UNKNOWN, message=f"{cluster} is not visible yet")
        return ClusterStatus(ClusterState.TERMINATED, message=f"the service does not know {cluster}")

    def _absent_job(self, cluster: str, job: str) -> JobStatus:
        """The same for a job."""
        facts = self._facts(cluster)
        token = facts.token if facts else self._token_of_new(cluster)
        if token and job.replace("-", "").isalnum():
            ids = self.staging.of_cluster(token) / "ids"
            if token_of_new(self.store, ids, job):
                return JobStatus(JobState.UNKNOWN, message=f"{job} is not visible yet")
        return JobStatus(JobState.CANCELLED, message=f"the service does not know {job}")

    def _insist_on_life(self, cluster: str, refused: Exception | None = None) -> None:
        """Raise an error unless jobs may be submitted to the cluster.

        :param refused: what the service said to a job.
        """
        status = self._describe(cluster)
        if status.state.ended:
            raise NotFound(f"cluster {cluster} has ended: create another one") from refused
        if status.state is ClusterState.UNKNOWN and refused:
            raise Unavailable(f"cluster {cluster}: {status.message or 'its state is not known'}") from refused

    def _forget(self, cluster: str, token: str) -> None:
        """Remove what the staging area holds for a cluster."""
        self.store.remove(self.staging.of_cluster(token))
        self.store.delete(self.ids / cluster)

    def _log_folder(self, uri: str | None) -> Place:
        """Where a cluster writes its logs: its own setting, where it can be read."""
        try:
            return Place.parse(uri or "", "s3", "s3a", "s3n")
        except SpecError:
            return self.staging / "logs"

    def _facts(self, cluster: str) -> Facts | None:
        """What never changes about a cluster of ours; None for any other."""
        raise NotImplementedError

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


def not_visible(id_: str) -> Unavailable:
    """The error of a call that needs something which the service does not show yet."""
    return Unavailable(f"{id_} is not visible yet: the service gave this id a short time ago")
