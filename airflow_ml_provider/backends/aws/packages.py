"""Python packages as one archive, made where Airflow runs for the machines that Spark runs on, and kept there for a day.

uv resolves them: it judges the conditions of dependencies (``; python_version < "3.10"``) by the machines' Python, where pip takes that
of the worker. pip's own settings count nevertheless: its indexes, proxy and certificates.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from airflow_ml_provider.core import caches, tools
from airflow_ml_provider.core.errors import ConfigurationError, Unavailable
from airflow_ml_provider.core.libraries import contents

log = logging.getLogger(__name__)
ARCHIVE = "packages.zip"
_PLATFORM = "manylinux_2_28"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_OTHER_INDEXES = ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
_CONFIG_LIMIT = 60.0
_CONFIG = re.compile(r"(?P<section>global|install|:env:)\.(?P<key>[\w-]+)=(?P<value>.*)")


def archive(
    packages: Sequence[Mapping[str, Any]], *, python: str, machine: str, cache: Path | None = None, today: date | None = None
) -> Path:
    """A zip of wheels: the packages and what they depend on. The same packages give the same bytes.

    The archive of a set of packages is made once a day, so that new versions arrive. While an index cannot be reached, an older one
    serves. This process holds the archive from now on.

    :param packages: as a plan has them.
    :param python: of the machines, ``3.11`` style.
    :param machine: their architecture, ``x86_64`` or ``aarch64``.
    :param cache: where archives are kept; None for the provider's folder on this machine.
    :raises SpecError: a file cannot be read.
    :raises ConfigurationError: one cannot be had; the message holds uv's last lines.
    :raises Unavailable: an index cannot be reached, and no older archive is there.
    """
    cache = cache or caches.default_root() / "cache"
    with caches.translated_errors(cache):
        return _archive(packages, python, machine, cache, today or datetime.now(tz=UTC).date())


def _archive(packages: Sequence[Mapping[str, Any]], python: str, machine: str, cache: Path, today: date) -> Path:
    caches.sweep_at_times(cache)
    text = json.dumps([python, machine, [contents(item) for item in packages]], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    folder = cache / "packages" / f"{key}-{today.isoformat()}"
    try:
        made = caches.entry(folder, lambda empty: _make(empty, packages, python, machine))
    except Unavailable as error:
        older = [path for path in sorted(folder.parent.glob(f"{key}-*/"), reverse=True) if caches.hold(path, path / caches.WHOLE)]
        if not older:
            raise
        log.warning("%s. The archive of %s serves in its place", error, older[0].name.removeprefix(f"{key}-"))
        made = older[0]
    else:
        for path in folder.parent.glob(f"{key}-*/"):
            if path != folder:
                caches.remove(path)
    return made / ARCHIVE


def write_zip(folder: Path, path: Path) -> None:
    """Write the folder's files as a zip, without dates and in order: the content alone makes its name in the staging area."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.name != ".lock":
                name = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _LONG_AGO)
                name.compress_type, name.file_size = zipfile.ZIP_DEFLATED, file.stat().st_size
                with file.open("rb") as content, made.open(name, "w") as target:
                    shutil.copyfileobj(content, target)


def _make(folder: Path, packages: Sequence[Mapping[str, Any]], python: str, machine: str) -> None:
    settings = _settings_of_pip()
    with tempfile.TemporaryDirectory(dir=folder, prefix="installed-") as installed:
        for index, asked in _by_index(packages).items():
            _install(Path(installed), asked, index, settings, python=python, machine=machine)
        write_zip(Path(installed), folder / ARCHIVE)


def _by_index(packages: Sequence[Mapping[str, Any]]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for item in packages:
        what = ["--requirements", item["path"]] if item["kind"] == "requirements" else [item.get("path") or item["requirement"]]
        found.setdefault(item.get("index_url"), []).extend(what)
    return found


def _install(
    folder: Path, asked: Sequence[str], index: str | None, settings: Mapping[str, str], *, python: str, machine: str
) -> None:
    what = f"libraries: they could not be installed for Python {python} on {machine}"
    uv = [
        _uv(),
        "pip",
        "install",
        "--quiet",
        "--no-cache",
        "--no-python-downloads",
        "--link-mode",
        "copy",
        "--only-binary",
        ":all:",
    ]
    target = ["--python", sys.executable, "--target", str(folder), "--python-version", python]
    platform = ["--python-platform", f"{machine}-{_PLATFORM}"]
    env = {**_environment(settings), **tools.clean_environment(os.environ, other_indexes=index is None)}
    own = ["--default-index", index] if index else ["--no-index"] if settings.get("no-index") else []
    if index:
        env = {key: value for key, value in env.items() if key not in _OTHER_INDEXES}
    with tempfile.TemporaryDirectory(prefix="uv-") as empty:  # uv reads the settings of a project that it finds above its folder
        tools.install(what, [*uv, *target, *platform, *own, *asked], env=env, cwd=Path(empty))


def _uv() -> str:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise ConfigurationError('libraries: uv is missing: pip install "airflow-ml-provider[amazon]"') from None
        return found


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """pip's settings as variables of uv, where a password in an index's URL is in no command line."""
    given = {
        "UV_DEFAULT_INDEX": settings.get("index-url"),
        "UV_INDEX": " ".join(settings.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split()),
        "UV_INSECURE_HOST": " ".join(settings.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": settings.get("default-timeout") or settings.get("timeout"),
        "SSL_CERT_FILE": settings.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE"),
        "HTTP_PROXY": settings.get("proxy"),
        "HTTPS_PROXY": settings.get("proxy"),
        # The certificates that this machine trusts, as pip takes them.
        "UV_SYSTEM_CERTS": "true",
        "UV_NATIVE_TLS": "true",
    }
    return {key: value for key, value in given.items() if value}


def _settings_of_pip() -> dict[str, str]:
    """pip's settings by their long option, from its files and its variables; empty where pip is not installed."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    code, said, _ = tools.run(command, env=tools.clean_environment(os.environ), seconds=_CONFIG_LIMIT)
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in said.splitlines() if code == 0 else ():
        if match := _CONFIG.fullmatch(line.strip()):
            found[match["section"]][match["key"]] = str(ast.literal_eval(match["value"]))
    return {**found["global"], **found["install"], **found[":env:"]}
