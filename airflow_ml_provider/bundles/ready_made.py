"""The ready-made DAGs, as one entry of Airflow's ``dag_bundle_config_list``."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles import base

from airflow_ml_provider import __version__
from airflow_ml_provider.core.errors import ConfigurationError

_PACKAGED = Path(__file__).parent / "content"
_REPOSITORY = Path(__file__).parents[2]
_FOLDERS = ("dags", "include")
_SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


class ReadyMadeDagBundle(base.BaseDagBundle):
    """Serves the DAGs that come with this provider, at the provider's own version.

    ::

        [dag_processor]
        dag_bundle_config_list = [{"name": "ready_made",
            "classpath": "airflow_ml_provider.bundles.ready_made.ReadyMadeDagBundle", "kwargs": {}}]

    Each machine keeps a copy of every version that it has served, so a run that began before an upgrade ends with the files it
    began with. In a checkout of the provider's repository the version ends with a digest of the files, as they may change.
    """

    supports_versioning = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._source = _PACKAGED if _PACKAGED.is_dir() else _REPOSITORY

    def initialize(self) -> None:
        """Lay the files of the version out on this machine; :class:`ConfigurationError` when it never had them."""
        if self.version is None:
            self.refresh()
        elif not self.path.is_dir():
            self._keep(self.version)
        super().initialize()

    @property
    def path(self) -> Path:
        """The folder of DAG files; ``include`` stands beside it."""
        return self._folder(self.version or self._installed()) / "dags"

    def get_current_version(self) -> Any:
        """The version that is installed."""
        version = self._installed()
        return base.BundleVersion(version=version) if hasattr(base, "BundleVersion") else version

    def refresh(self) -> None:
        """Keep a copy of what is installed, once a version."""
        self._keep(self._installed())

    def _installed(self) -> str:
        return __version__ if self._source == _PACKAGED else f"{__version__}+{_digest(self._source)}"

    def _folder(self, version: str) -> Path:
        return Path(self.versions_dir) / version

    def _keep(self, version: str) -> None:
        folder = self._folder(version)
        if (folder / "dags").is_dir():
            return
        if version != self._installed():
            have = f"airflow-ml-provider is at {self._installed()} on this machine"
            fix = "install that version here, or clear the run with the latest DAG version"
            raise ConfigurationError(f"bundle {self.name!r}: version {version!r} was never on this machine; {have}: {fix}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as fresh:
            for name in _FOLDERS:
                shutil.copytree(self._source / name, Path(fresh, version, name), ignore=_SKIPPED)
            _move(Path(fresh, version), folder)


def _move(fresh: Path, folder: Path) -> None:
    try:
        os.rename(fresh, folder)
    except OSError:
        if not (folder / "dags").is_dir():  # no other process was first
            raise


def _digest(root: Path) -> str:
    """Eight hexadecimal digits over names and contents of the files served."""
    digest = hashlib.sha256()
    for path in sorted(path for name in _FOLDERS for path in (root / name).rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]
