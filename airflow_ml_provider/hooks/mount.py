"""The ``mount`` connection: a name for a place in storage, and the connection that opens it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import Variable
from airflow.sdk.bases.hook import BaseHook

from airflow_ml_provider._compat import AirflowNotFoundException
from airflow_ml_provider.core.errors import ConfigurationError, ProviderError, SpecError
from airflow_ml_provider.core.mounts import Credentials, Mount, Opened, open_mount
from airflow_ml_provider.core.storage.faults import translated
from airflow_ml_provider.hooks.forms import form_widgets, ui_field_behaviour
from airflow_ml_provider.hooks.given import given
from airflow_ml_provider.hooks.stores import forget_store, shared_store

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_CONN_TYPE = "mount"
_FIELDS = ("source", "credentials_conn_id", "read_only", "fuse")
_EXTRAS = {"s3": "amazon", "abfs": "azure", "gs": "google", "hdfs": "local", "sftp": "sftp"}
_MADE_BY = {"sftp": "sshfs"}
"""The library behind a protocol, where fsspec has another one for it that takes other arguments."""
_CACHES_LISTINGS = ("s3", "abfs", "gs")
"""Protocols whose filesystems keep listings, in which a sensor would never see a new file, nor a task the files of another one."""
_TRUE_WORDS = {"true": True, "false": False, "1": True, "0": False, "": False}


def variable_name(mount: str) -> str:
    """The Airflow Variable that keeps a mount made at run time."""
    return f"mount.{mount}"


def resolve(mount: Mount | str) -> tuple[Mount, Credentials | None]:
    """What a mount is on this Airflow, and what opens it.

    A connection of type ``mount`` whose id is the mount's name decides, so that a deployment can move what a DAG has as a default;
    then the :class:`Mount` itself; then a mount of this name that a task made at run time.

    :raises ConfigurationError: there is no such mount, or a connection is missing or has a wrong field.
    """
    name = mount if isinstance(mount, str) else mount.name
    found = _of_connection(name, required=False) or (mount if isinstance(mount, Mount) else _of_variable(name))
    if found is None:
        fix = f"create a connection with this id and the type {_CONN_TYPE!r}, or run MountStorageOperator first"
        raise ConfigurationError(f"mount {name!r} does not exist: {fix}")
    return found, credentials(found.conn_id) if found.conn_id else None


def credentials(conn_id: str) -> Credentials:
    """An Airflow connection's fields; :class:`ConfigurationError` when there is none."""
    try:
        with given(f"connection {conn_id!r}"):
            found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(f"connection {conn_id!r} does not exist: create it, or change the mount's connection") from None
    return Credentials(
        conn_id=conn_id,
        conn_type=found.conn_type or "",
        login=found.login or "",
        password=found.password or "",
        host=found.host or "",
        port=found.port,
        schema=found.schema or "",
        extra=found.extra_dejson,
    )


class MountHook(BaseHook):
    """Opens storage by its mount's name.

    :param mount: the name, which is the id of a connection of type ``mount`` or of a mount made at run time; or a :class:`Mount`.
    """

    conn_name_attr = "mount"
    default_conn_name = "mount_default"
    conn_type = _CONN_TYPE
    hook_name = "Mount"

    def __init__(self, mount: Mount | str = default_conn_name) -> None:
        super().__init__()
        self._asked = mount

    @cached_property
    def _resolved(self) -> tuple[Mount, Credentials | None]:
        return resolve(self._asked)

    @property
    def mount(self) -> Mount:
        """What the name stands for."""
        return self._resolved[0]

    @cached_property
    def opened(self) -> Opened:
        """The mount in the words of Hadoop and fsspec."""
        return open_mount(*self._resolved)

    @cached_property
    def filesystem(self) -> AbstractFileSystem:
        """The store's own fsspec filesystem, which caches no listings; :class:`ConfigurationError` names a missing library.

        A process has one for each mount, see :mod:`~airflow_ml_provider.hooks.stores`.
        """
        mount, opened_by = self._resolved
        fields = json.dumps(asdict(opened_by), default=str, sort_keys=True) if opened_by else ""
        return shared_store(mount.name, (mount, hashlib.sha256(fields.encode()).digest()), self._make)

    def forget(self) -> None:
        """Read the connection and open the store anew the next time: after a lost connection, or credentials that have changed."""
        forget_store(self._asked if isinstance(self._asked, str) else self._asked.name)
        self.__dict__.pop("_resolved", None)
        self.__dict__.pop("opened", None)
        self.__dict__.pop("filesystem", None)

    def _make(self) -> AbstractFileSystem:
        from importlib import import_module

        import fsspec

        try:
            if library := _MADE_BY.get(self.opened.protocol):
                import_module(library)
            made = fsspec.get_filesystem_class(self.opened.protocol)
        except ImportError as error:
            fix = f'pip install "airflow-ml-provider[{_EXTRAS.get(self.opened.protocol, "all")}]"'
            raise ConfigurationError(f"mount {self.mount.name!r} cannot be opened ({error}): {fix}") from error
        listings = {"use_listings_cache": False} if self.opened.protocol in _CACHES_LISTINGS else {}
        with translated(f"mount {self.mount.name!r}"):  # a role is assumed here, and a server of SFTP is connected to
            return made(**self.opened.options, **listings, **self._session(), skip_instance_cache=True)

    def get_conn(self) -> AbstractFileSystem:
        """The filesystem, under the name that Airflow's hooks give it."""
        return self.filesystem

    def test_connection(self) -> tuple[bool, str]:
        """What the Test button does: check every field, then list the source once."""
        try:
            mount = _of_connection(str(self._asked), required=True)
            assert mount is not None
            self._asked = mount
            found = len(self._make().ls(self.opened.path, detail=False))
        except ProviderError as error:
            return False, str(error)
        except FileNotFoundError:
            return False, f"{self.mount.source}: there is nothing there: make it, or change the source"
        except Exception as error:  # noqa: BLE001 - whatever the store's client raises is the answer to show
            return False, f"{self.mount.source}: {type(error).__name__}: {error}"
        return True, f"{self.mount.source}: ready, {found} entries"

    def _session(self) -> dict[str, Any]:
        """The AWS session of a role, which renews itself."""
        if not self.opened.assumes_role:
            return {}
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        return {"session": S3Hook(aws_conn_id=self.mount.conn_id).get_session(deferrable=True)}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The form's fields for Airflow 3.1; later versions read them from the provider info."""
        return form_widgets(cls.conn_type)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Which standard fields the form shows in Airflow 3.1; later versions read it from the provider info."""
        return ui_field_behaviour(cls.conn_type)


def _of_connection(name: str, *, required: bool) -> Mount | None:
    """The mount of a connection; None where it is not required, and there is none or one of another type."""
    try:
        with given(f"connection {name!r}"):
            found = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        if required:
            raise ConfigurationError(f"connection {name!r} does not exist") from None
        return None
    if found.conn_type == _CONN_TYPE:
        return parse_connection(name, found.extra_dejson)
    if required:
        raise ConfigurationError(f"connection {name!r}: got the type {found.conn_type!r}: takes {_CONN_TYPE!r}")
    return None


def parse_connection(name: str, extra: Mapping[str, Any]) -> Mount:
    """Read a ``mount`` connection's extra fields; :class:`ConfigurationError` names what is wrong and what it takes."""
    fields = {key: value for key, value in extra.items() if value not in (None, "")}
    if unknown := sorted(set(fields) - set(_FIELDS)):
        raise ConfigurationError(f"connection {name!r}, extra: no such field: {unknown[0]!r}: takes {', '.join(_FIELDS)}")
    if "source" not in fields:
        raise ConfigurationError(f"connection {name!r}, extra field 'source': is empty: takes a URI such as s3://bucket/folder")
    try:
        return Mount(
            name,
            str(fields["source"]),
            fields.get("credentials_conn_id"),
            **{key: _switch(name, key, fields[key]) for key in ("read_only", "fuse") if key in fields},
        )
    except SpecError as error:
        raise ConfigurationError(f"connection {name!r}: {error}") from None


def _switch(name: str, key: str, value: Any) -> bool:
    """A form's switch: a boolean, or on Airflow 3.1 a word."""
    found = value if isinstance(value, bool) else _TRUE_WORDS.get(str(value).strip().lower())
    if found is None:
        raise ConfigurationError(f"connection {name!r}, extra field {key!r}: got {value!r}: takes true or false")
    return found


def _of_variable(name: str) -> Mount | None:
    """A mount that a task made."""
    with given(f"variable {variable_name(name)!r}"):
        text = Variable.get(variable_name(name), default=None)
    return Mount(**json.loads(text)) if text else None
