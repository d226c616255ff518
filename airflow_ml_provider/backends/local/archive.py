"""The class-data archive (AppCDS) that lets a JVM start in half the time: one per JDK and Spark, made by the first cluster."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from airflow_ml_provider.backends.local.java import Jdk
from airflow_ml_provider.core.caches import hold

_RETRY_AFTER = 24 * 3600.0
_LEAST = 1 << 20


class Archive:
    """Where the archive is, whether it can be read, and whether this cluster shall make it.

    :param cache: the folder that it is kept in.
    :param more: jars that follow Spark's on the class path.
    :ivar path: the archive's own place.
    """

    def __init__(self, cache: Path, jdk: Jdk, spark_home: Path, more: Sequence[Path] = ()) -> None:
        made_of = [str(jdk.home), jdk.version, str(spark_home), *map(_identity, sorted((spark_home / "jars").glob("*.jar")))]
        key = _key(made_of)
        self._without = cache / f"{key}.jsa"
        key = _key([*made_of, *map(_identity, more)]) if more else key
        self.path = cache / f"{key}.jsa"
        self._failed = cache / f"{key}.failed"
        self._lock = cache / f"{key}.lock"

    def readable(self) -> Path | None:
        """The archive, or that of Spark's jars alone, which serves every class path that begins with them; None without either.

        This process holds it from now on.
        """
        return next((path for path in (self.path, self._without) if hold(path)), None)

    def claim(self) -> bool:
        """True for the one living process that shall make it: there is none, and making one has not just failed."""
        if self.readable() or self._just_failed():
            return False
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        return True

    def keep(self, recorded: Path) -> bool:
        """Take over what a JVM wrote as it ended. Without a usable one, clusters start without."""
        try:
            if recorded.is_file() and recorded.stat().st_size > _LEAST:
                recorded.chmod(0o600)
                os.replace(recorded, self.path)
                return True
            self._failed.touch()
        except OSError:
            recorded.unlink(missing_ok=True)
        return False

    def _just_failed(self) -> bool:
        try:
            return time.time() - self._failed.stat().st_mtime < _RETRY_AFTER
        except FileNotFoundError:
            return False


def _identity(jar: Path) -> str:
    return f"{jar.name}:{jar.stat().st_size}:{jar.stat().st_mtime_ns}"


def _key(made_of: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]
