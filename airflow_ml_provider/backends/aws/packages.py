"""Python packages as one archive, made where Airflow runs for the machines that Spark runs on."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_ml_provider.core.errors import ConfigurationError

_LAST_LINES = 12
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_26", "manylinux_2_27", "manylinux_2_28")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def archive(packages: Sequence[Mapping[str, Any]], *, python: str, machine: str) -> bytes:
    """A zip of what pip installs: the packages and what they depend on, as wheels. The same packages give the same bytes.

    :param packages: as a plan has them.
    :param python: of the machines, ``3.11`` style.
    :param machine: their architecture, ``x86_64`` or ``aarch64``.
    :raises ConfigurationError: one cannot be had; the message holds pip's last lines.
    """
    with tempfile.TemporaryDirectory(prefix="packages-") as folder:
        for index, arguments in _by_index(packages).items():
            _install(Path(folder), [*(["--index-url", index] if index else []), *arguments], python, machine)
        return zipped(Path(folder))


def _by_index(packages: Sequence[Mapping[str, Any]]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for item in packages:
        what = ["--requirement", item["path"]] if item["kind"] == "requirements" else [item.get("path") or item["requirement"]]
        found.setdefault(item.get("index_url"), []).extend(what)
    return found


def _install(folder: Path, arguments: list[str], python: str, machine: str) -> None:
    platforms = [part for name in _PLATFORMS for part in ("--platform", f"{name}_{machine}")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
    target = ["--target", str(folder), "--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    command = [*pip, *target, *platforms, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:])
        raise ConfigurationError(f"libraries: they could not be installed for Python {python} on {machine}:\n{last}")


def zipped(folder: Path) -> bytes:
    """The folder's files as a zip, without dates and in order: the content alone makes its name in the staging area."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _LONG_AGO)
                archive.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()
