"""What a path of ``mount://`` is to universal_pathlib, which Airflow's ``ObjectStoragePath`` stands on."""

from __future__ import annotations

import fsspec
from upath.implementations.cloud import CloudPath

from airflow_ml_provider.filesystems.mount import MountFileSystem

# universal_pathlib asks fsspec for the classes that are loaded by now, and warns about others.
fsspec.register_implementation("mount", MountFileSystem, clobber=True)


class MountPath(CloudPath):
    """A path in a mount; the mount's name stands where others have a bucket."""

    __slots__ = ()
