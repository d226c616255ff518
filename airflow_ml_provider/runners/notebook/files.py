"""``dbutils.fs``: through Hadoop where the driver's JVM is at hand, else on folders, and otherwise by the Spark Connect server."""

from __future__ import annotations

import base64
import json
import posixpath
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from .errors import Missing
from .utility import Utility

_LINK = "spark.hadoop.fs.viewfs.mounttable.default.link./mnt/"
_AS_FOLDER = "/dbfs/"
_FUNCTION = "airflow_ml_file_command"
_ERRORS = {
    "AccessControlException": PermissionError,
    "FileAlreadyExistsException": FileExistsError,
    "FileNotFoundException": FileNotFoundError,
    "PathIsDirectoryException": IsADirectoryError,
}


class FileInfo(NamedTuple):
    """One entry of a folder.

    :param size: bytes; 0 for a folder.
    :param modificationTime: milliseconds since 1970.
    """

    path: str
    name: str
    size: int
    modificationTime: int = 0  # noqa: N815 - Databricks' name

    def isDir(self) -> bool:  # noqa: N802 - Databricks' name
        """True for a folder."""
        return self.name.endswith("/")

    def isFile(self) -> bool:  # noqa: N802 - Databricks' name
        """True for a file."""
        return not self.isDir()


class MountInfo(NamedTuple):
    """A mount point and what it leads to."""

    mountPoint: str  # noqa: N815 - Databricks' name
    source: str
    encryptionType: str = ""  # noqa: N815 - Databricks' name


class FileSystem(Utility):
    """The commands of ``dbutils.fs``. A path without a scheme is one of ``dbfs:``."""

    NAME = "fs"

    def __init__(self, spark: Any) -> None:
        self._spark = spark

    def ls(self, path: str) -> list[FileInfo]:
        """The entries of a folder; :class:`FileNotFoundError` when there is none. The mounts are all that lies in ``/`` and ``/mnt``."""
        if (above := _with_scheme(path).rstrip("/")) in ("dbfs:", "dbfs:/mnt"):
            names = sorted(_mounts(self._spark)) if above == "dbfs:/mnt" else ["mnt"]
            return [FileInfo(f"{above}/{name}/", f"{name}/", 0) for name in names]
        return sorted(self._on(path, "ls").ls())

    def head(self, file: str, maxBytes: int = 65536) -> str:  # noqa: N803 - Databricks' name
        """The file's first bytes as text."""
        return str(self._on(file, "head").head(maxBytes).decode("utf-8", errors="replace"))

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        """Write a text file; :class:`FileExistsError` when it is there and may not be replaced."""
        self._on(file, "put").put(contents.encode(), overwrite)
        return True

    def mkdirs(self, dir: str) -> bool:  # noqa: A002 - Databricks' name
        """Make a folder and those above it."""
        self._on(dir, "mkdirs").mkdirs()
        return True

    def rm(self, dir: str, recurse: bool = False) -> bool:  # noqa: A002 - Databricks' name
        """Remove a file, or with ``recurse`` a folder and all in it. False when there is none."""
        return bool(self._on(dir, "rm").rm(recurse))

    def cp(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Copy a file, or with ``recurse`` a folder."""
        source, target = self._on(from_, "cp"), self._on(to, "cp")
        _refuse_overlap(source.uri, target.uri)
        if isinstance(source, _Folder) and isinstance(target, _Server):
            source = _Server(self._spark, source.uri)
        source.copy(target, recurse)
        return True

    def mv(self, from_: str, to: str, recurse: bool = False) -> bool:
        """Move a file, or with ``recurse`` a folder: a copy, then a removal."""
        self.cp(from_, to, recurse)
        return self.rm(from_, recurse)

    def mounts(self) -> list[MountInfo]:
        """The cluster's mounts."""
        return [MountInfo(f"/mnt/{name}", source) for name, source in sorted(_mounts(self._spark).items())]

    def refreshMounts(self) -> bool:  # noqa: N802 - Databricks' name
        """Nothing to do: every job sees the mounts that its cluster was made with."""
        return True

    def mount(self, *_: Any, **__: Any) -> bool:
        """Refused: mounts are declared with the cluster."""
        raise Missing("dbutils.fs.mount: a cluster has the mounts that it was made with: declare it in SparkCluster(mounts=[…])")

    unmount = updateMount = mount  # noqa: N815 - Databricks' name

    def _on(self, path: str, command: str) -> _Folder | _Hadoop | _Server:
        uri = _with_scheme(path)
        _is_in_a_mount(uri, command, self._spark)
        if (jvm := getattr(self._spark, "_jvm", None)) is not None:
            return _Hadoop(self._spark, jvm, uri)
        if local := _local_path(uri, self._spark):
            return _Folder(uri, local)
        return _Server(self._spark, uri)


class _Folder:
    """A place that this machine has as a folder."""

    def __init__(self, uri: str, path: Path) -> None:
        self.uri = uri
        self.path = path

    def ls(self) -> list[FileInfo]:
        if self.path.is_file():
            return [self._info(self.path, self.uri)]
        return [self._info(path, f"{self.uri.rstrip('/')}/{path.name}") for path in self.path.iterdir()]

    def head(self, size: int) -> bytes:
        with self.path.open("rb") as file:
            return file.read(size)

    def put(self, data: bytes, overwrite: bool) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("wb" if overwrite else "xb") as file:
            file.write(data)

    def mkdirs(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def rm(self, recurse: bool) -> bool:
        if not self.path.exists():
            return False
        if self.path.is_dir() and recurse:
            shutil.rmtree(self.path)
        elif self.path.is_dir():
            self.path.rmdir()
        else:
            self.path.unlink()
        return True

    def copy(self, target: Any, recurse: bool) -> None:
        if self.path.is_dir():
            if not recurse:
                raise IsADirectoryError(f"{self.uri}: is a folder: take recurse=True")
            shutil.copytree(self.path, target.path, dirs_exist_ok=True)
            return
        to = target.path / self.path.name if target.path.is_dir() else target.path
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path, to)

    @staticmethod
    def _info(path: Path, uri: str) -> FileInfo:
        known = path.stat()
        slash = "/" if path.is_dir() else ""
        return FileInfo(uri + slash, path.name + slash, 0 if slash else known.st_size, int(known.st_mtime * 1000))


class _Hadoop:
    """A place that Hadoop's file systems open, in the driver's JVM."""

    def __init__(self, spark: Any, jvm: Any, uri: str) -> None:
        self.uri = uri
        self._jvm = jvm
        self.conf = spark._jsc.hadoopConfiguration()
        self.path = jvm.org.apache.hadoop.fs.Path(uri)
        self.fs = self.path.getFileSystem(self.conf)

    def ls(self) -> list[FileInfo]:
        return [self._info(status) for status in self.fs.listStatus(self.path)]

    def head(self, size: int) -> bytes:
        stream = self.fs.open(self.path)
        try:
            return bytes(self._jvm.org.apache.commons.io.IOUtils.toByteArray(stream, min(size, self._size())))
        finally:
            stream.close()

    def put(self, data: bytes, overwrite: bool) -> None:
        stream = self.fs.create(self.path, overwrite)
        try:
            stream.write(data)
        finally:
            stream.close()

    def mkdirs(self) -> None:
        self.fs.mkdirs(self.path)

    def rm(self, recurse: bool) -> bool:
        return bool(self.fs.delete(self.path, recurse))

    def copy(self, target: Any, recurse: bool) -> None:
        if self.fs.getFileStatus(self.path).isDirectory() and not recurse:
            raise IsADirectoryError(f"{self.uri}: is a folder: take recurse=True")
        self._jvm.org.apache.hadoop.fs.FileUtil.copy(self.fs, self.path, target.fs, target.path, False, self.conf)

    def _size(self) -> int:
        return int(self.fs.getFileStatus(self.path).getLen())

    @staticmethod
    def _info(status: Any) -> FileInfo:
        slash = "/" if status.isDirectory() else ""
        path = status.getPath()
        return FileInfo(f"{path}{slash}", path.getName() + slash, int(status.getLen()), int(status.getModificationTime()))


class _Server:
    """A place that only the Spark Connect server opens: it runs each command, by the class of ours that clusters with mounts have."""

    def __init__(self, spark: Any, uri: str) -> None:
        self.uri = uri
        self._spark = spark

    def ls(self) -> list[FileInfo]:
        return [FileInfo(**entry) for entry in self._ask("ls")]

    def head(self, size: int) -> bytes:
        return base64.b64decode(self._ask("head", size=size))

    def put(self, data: bytes, overwrite: bool) -> None:
        self._ask("put", data=base64.b64encode(data).decode(), overwrite=overwrite)

    def mkdirs(self) -> None:
        self._ask("mkdirs")

    def rm(self, recurse: bool) -> bool:
        return bool(self._ask("rm", recurse=recurse))

    def copy(self, target: Any, recurse: bool) -> None:
        self._ask("cp", to=target.uri, recurse=recurse)

    def _ask(self, command: str, **more: Any) -> Any:
        """The answer. What is asked goes as a row, not into the plan, which the Spark UI shows."""
        asked = json.dumps({"command": command, "path": self.uri, **more})
        self._spark.udf.registerJavaFunction(_FUNCTION, "airflow_ml_provider.FileCommand", "string")
        row = self._spark.createDataFrame([(asked,)], "asked string").selectExpr(f"{_FUNCTION}(asked)").first()
        answer = json.loads(row[0])
        if "error" in answer:
            raise _ERRORS.get(answer["error"], OSError)(f"dbutils.fs.{command}: {answer['message']}")
        return answer["value"]


def _with_scheme(path: str) -> str:
    if path.startswith(_AS_FOLDER):
        path = path.removeprefix("/dbfs")
    return path if re.match(r"[A-Za-z][\w+.-]*:", path) else f"dbfs:/{path.lstrip('/')}"


def split_path(uri: str) -> tuple[str, str, str]:
    """The scheme, the authority and the path of a storage path, as Hadoop's ``Path`` reads it.

    A storage path looks like a URL but is none: ``#``, ``?`` and ``%`` are ordinary characters of a name.
    """
    scheme, _, rest = uri.partition(":")
    if not rest.startswith("//"):
        return scheme.lower(), "", rest
    authority, slash, path = rest.removeprefix("//").partition("/")
    return scheme.lower(), authority, slash + path


def _normal(uri: str) -> tuple[str, str, str]:
    scheme, authority, path = split_path(uri)
    return scheme, authority, posixpath.normpath("/" + path.lstrip("/"))


def _refuse_overlap(source: str, target: str) -> None:
    """:class:`ValueError` for a copy of a file or folder onto itself or into itself: it would destroy what it reads."""
    (*place, path), (*other, to) = _normal(source), _normal(target)
    if place == other and (to == posixpath.dirname(path) or f"{to}/".startswith(f"{path.rstrip('/')}/")):
        raise ValueError(f"dbutils.fs.cp: cannot copy {source} to {target}: the target is the source, or lies in it")


def _is_in_a_mount(uri: str, command: str, spark: Any) -> None:
    """:class:`Missing` for a path of ``dbfs:`` that no mount holds: here there is no other DBFS."""
    scheme, _, path = _normal(uri)
    parts = PurePosixPath(path).parts
    known = _mounts(spark)
    if scheme == "dbfs" and not (parts[1:2] == ("mnt",) and parts[2:3] and parts[2] in known):
        names = ", ".join(f"dbfs:/mnt/{name}" for name in sorted(known)) or "there are none"
        raise Missing(f"dbutils.fs.{command}: {uri} is in no mount of this cluster ({names}): mount it, or take file:/tmp/…")


def _local_path(uri: str, spark: Any) -> Path | None:
    """The folder that a path leads to on this machine."""
    scheme, _, path = _normal(uri)
    if scheme == "file" and not split_path(uri)[2].startswith("/"):
        raise ValueError(f"dbutils.fs: {uri}: expected an absolute path, such as file:/tmp/name")
    if scheme == "file":
        return Path(path)
    if scheme != "dbfs":
        return None
    _, _, mount, *rest = PurePosixPath(path).parts
    scheme, _, source = split_path(_mounts(spark).get(mount, ""))
    return Path(unquote(source), *rest) if scheme == "file" else None  # what a mount leads to is a URI: its path is escaped


def _mounts(spark: Any) -> dict[str, str]:
    """Each mount's source by name, from the mount table in the cluster's properties."""
    known = spark.conf.getAll
    known = known() if callable(known) else known
    return {key.removeprefix(_LINK): str(value) for key, value in known.items() if key.startswith(_LINK)}
