"""A cluster's mounts at run time: connections resolved, settings laid under the spec, sources looked at before anything starts."""

from __future__ import annotations

import logging

from airflow_ml_provider.core.backend import Backend, RunsHere
from airflow_ml_provider.core.errors import AccessDenied, ConfigurationError, ProviderError, SpecError, Unavailable
from airflow_ml_provider.core.mounts import with_mounts
from airflow_ml_provider.core.spec import ClusterSpec
from airflow_ml_provider.core.storage.faults import translated
from airflow_ml_provider.hooks.mount import MountHook

log = logging.getLogger(__name__)
_ELSEWHERE = ("file", "hdfs")


def open_mounts(spec: ClusterSpec, backend: Backend) -> tuple[ClusterSpec, dict[str, str]]:
    """The spec with its mounts opened, and what of them is secret for ``Backend.create``.

    A source that does not exist is refused. A place below a bucket that is there may be empty, unless the mount is read-only: a
    job makes it. A worker without the store's Python library leaves the look to the job.

    :param backend: one that ``RunsHere`` has the folders of this machine looked at too.
    :raises SpecError: a source does not exist, or two mounts do not go together.
    :raises ConfigurationError: a connection is missing, wrong, or may not list the source.
    :raises Unavailable: the store did not answer.
    """
    hooks = [MountHook(mount) for mount in spec.mounts]
    made = with_mounts(spec, {hook.mount: hook.opened for hook in hooks})
    for hook in hooks:
        _look(hook, backend)
    return made


def _look(hook: MountHook, backend: Backend) -> None:
    here = backend if isinstance(backend, RunsHere) else None
    if hook.opened.protocol not in _ELSEWHERE:
        if here or hook.mount.conn_id:  # else the cluster's own role opens it, and this machine's may not
            _look_at_store(hook)
    elif here and hook.opened.protocol == "file" and hook.mount.read_only and not here.has_path(hook.opened.path):
        raise _missing(hook, hook.opened.path)


def _look_at_store(hook: MountHook) -> None:
    bucket = hook.opened.path.partition("/")[0]
    try:
        filesystem = hook.filesystem
    except ConfigurationError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        log.info("Mount %s is not looked at: %s", hook.mount.name, error)
        return
    except AccessDenied as error:
        raise ConfigurationError(f"{error}: change connection {hook.mount.conn_id!r}") from error
    try:
        with translated(f"mount {hook.mount.name!r}: {hook.mount.source!r}"):
            filesystem.ls(hook.opened.path, detail=False)
    except FileNotFoundError:
        if hook.mount.read_only or not _is_there(hook, bucket):
            raise _missing(hook, hook.opened.path if hook.mount.read_only else bucket) from None
    except AccessDenied as error:
        raise ConfigurationError(
            f"mount {hook.mount.name!r}: connection {hook.mount.conn_id!r} may not list {hook.mount.source!r}: {error.__cause__}"
        ) from error
    except ProviderError:
        raise
    except Exception as error:
        raise Unavailable(f"mount {hook.mount.name!r}: {hook.mount.source!r}: {type(error).__name__}: {error}") from error


def _is_there(hook: MountHook, bucket: str) -> bool:
    """Whether the bucket exists; who may only see a place in it is believed."""
    try:
        with translated(f"mount {hook.mount.name!r}: {bucket!r}"):
            hook.filesystem.info(bucket)
    except FileNotFoundError:
        return False
    except AccessDenied:
        return True
    return True


def _missing(hook: MountHook, place: str) -> SpecError:
    return SpecError(
        f"mounts.{hook.mount.name}: got {hook.mount.source!r}: {place!r} does not exist: make it, or change the source"
    )
