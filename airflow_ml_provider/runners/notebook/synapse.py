"""``mssparkutils`` and ``notebookutils``: what Synapse gives a notebook, as another face of ``dbutils``.

Names and arguments are those of Microsoft's "Introduction to Microsoft Spark Utilities".
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

from .arguments import text_of
from .dbutils import DBUtils
from .errors import Missing

MODULES = ("mssparkutils", "notebookutils")
KNOWN: Mapping[str, frozenset[str]] = {
    "credentials": frozenset(("getSecret", "getSecretWithLS", "help")),
    "env": frozenset(("getClusterId", "getJobId", "getPoolName", "getUserId", "getUserName", "getWorkspaceName", "help")),
    "fs": frozenset(("append", "cp", "exists", "fastcp", "head", "help", "ls", "mkdirs", "mv", "put", "rm")),
    "notebook": frozenset(("exit", "help", "run")),
    "runtime": frozenset(("context", "help")),
    "session": frozenset(("help", "restartPython", "stop")),
}
"""What is there, by group."""
_NINETY_SECONDS = 90
_NO_WORKSPACE = "there is no Synapse workspace here"


class File(NamedTuple):
    """One entry of a folder."""

    name: str
    path: str
    size: int
    isDir: bool  # noqa: N815 - Synapse's name
    isFile: bool  # noqa: N815 - Synapse's name
    modifyTime: int  # noqa: N815 - Synapse's name


class _Group:
    """One group of utilities; what it has not says so."""

    NAME = ""
    WHY = _NO_WORKSPACE

    def help(self, *_: str) -> None:
        """Print the commands."""
        known = sorted(name for name in dir(type(self)) if not name.startswith("_") and not name.isupper())
        print(f"mssparkutils.{self.NAME}: {', '.join(known)}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Missing(f"mssparkutils.{self.NAME}.{name}: {self.WHY}")


class Fs(_Group):
    """Files, as ``dbutils.fs`` reaches them."""

    NAME = "fs"
    WHY = "is not there: mounts are declared where the DAG is written, with SparkCluster(mounts=[…])"

    def __init__(self, utilities: DBUtils) -> None:
        self._fs = utilities.fs

    def ls(self, dir: str) -> list[File]:  # noqa: A002 - Synapse's name
        """What is in a folder."""
        found = self._fs.ls(dir)
        return [File(one.name.rstrip("/"), one.path, one.size, one.isDir(), one.isFile(), one.modificationTime) for one in found]

    def mkdirs(self, dir: str) -> bool:  # noqa: A002 - Synapse's name
        """Make a folder, and those above it."""
        return self._fs.mkdirs(dir)

    def cp(self, src: str, dest: str, recurse: bool = False) -> bool:
        """Copy a file or, with ``recurse``, a folder."""
        return self._fs.cp(src, dest, recurse)

    fastcp = cp

    def mv(self, src: str, dest: str, create_path: bool = False, overwrite: bool = False) -> bool:
        """Move a file or a folder."""
        if not overwrite and self.exists(dest) and not self._is_folder(dest):
            raise FileExistsError(f"mssparkutils.fs.mv: {dest}: is there already: overwrite=True replaces it")
        return self._fs.mv(src, dest, True)

    def put(self, file: str, content: str, overwrite: bool = False) -> bool:
        """Write a text."""
        return self._fs.put(file, content, overwrite)

    def append(self, file: str, content: str, createFileIfNotExists: bool = False) -> bool:  # noqa: N803 - Synapse's name
        """Write a text behind what a file has. The file is written anew: stores of objects append nothing."""
        if not self.exists(file):
            if not createFileIfNotExists:
                raise FileNotFoundError(f"mssparkutils.fs.append: {file}: createFileIfNotExists=True makes it")
            return self._fs.put(file, content)
        size = next(one.size for one in self._fs.ls(file))
        return self._fs.put(file, self._fs.head(file, max(size, 1)) + content, True)

    def head(self, file: str, max_bytes: int = 100 * 1024) -> str:
        """The beginning of a file, as text."""
        return self._fs.head(file, max_bytes)

    def rm(self, dir: str, recurse: bool = False) -> bool:  # noqa: A002 - Synapse's name
        """Remove a file or, with ``recurse``, a folder."""
        return self._fs.rm(dir, recurse)

    def exists(self, file: str) -> bool:
        """Whether a file or folder is there."""
        try:
            self._fs.ls(file)
        except Exception as error:
            if isinstance(error, FileNotFoundError) or "FileNotFoundException" in f"{type(error).__name__} {error}":
                return False
            raise
        return True

    def _is_folder(self, path: str) -> bool:
        found = self._fs.ls(path)
        return not (
            len(found) == 1 and found[0].isFile() and found[0].path.rstrip("/").endswith(path.rstrip("/").rpartition("/")[2])
        )


class Notebook(_Group):
    """Runs other notebooks and ends this one."""

    NAME = "notebook"
    WHY = "is not there: run, exit and help are; let Airflow run several notebooks, a task each"

    def __init__(self, utilities: DBUtils) -> None:
        self._notebook = utilities.notebook

    def run(
        self,
        path: str,
        timeoutSeconds: int = _NINETY_SECONDS,  # noqa: N803 - Synapse's name
        arguments: Mapping[str, Any] | None = None,
        workspace: str | None = None,
    ) -> str:
        """Run a notebook with names and parameters of its own; what it hands to ``exit``."""
        if workspace:
            raise Missing(f"mssparkutils.notebook.run: workspace {workspace!r}: {_NO_WORKSPACE}")
        return self._notebook.run(path, timeoutSeconds, arguments)

    def exit(self, value: Any = "") -> None:
        """End the notebook and hand back a value."""
        self._notebook.exit(text_of(value))


class Credentials(_Group):
    """Secrets that the job was given by the name of their vault and their own."""

    NAME = "credentials"
    WHY = "there is no Microsoft Entra behind a job: take what signs in from a connection of Airflow's, as a mount or as a secret"

    def __init__(self, utilities: DBUtils) -> None:
        self._secrets = utilities.secrets

    def getSecret(self, akvName: str, secret: str, linkedService: str = "") -> str:  # noqa: N802, N803 - Synapse's names
        """A secret's text."""
        return self._secrets.get(akvName, secret)

    def getSecretWithLS(self, linkedService: str, secret: str) -> str:  # noqa: N802, N803 - Synapse's names
        """A secret's text, by the linked service of its vault."""
        return self._secrets.get(linkedService, secret)


class Env(_Group):
    """Who and where the job is."""

    NAME = "env"

    def getUserName(self) -> str:  # noqa: N802 - Synapse's name
        """The DAG's owner."""
        return os.environ.get("AIRFLOW_CTX_DAG_OWNER", "")

    getUserId = getUserName  # noqa: N815 - Synapse's name

    def getJobId(self) -> str:  # noqa: N802 - Synapse's name
        """The DAG's run."""
        return os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", "")

    def getWorkspaceName(self) -> str:  # noqa: N802 - Synapse's name
        """The DAG."""
        return os.environ.get("AIRFLOW_CTX_DAG_ID", "")

    getPoolName = getClusterId = getWorkspaceName  # noqa: N815 - Synapse's names


class Runtime(_Group):
    """What a notebook may ask about its run."""

    NAME = "runtime"

    def __init__(self, path: str, is_child: bool) -> None:
        self.context = {
            "currentNotebookName": path.rpartition("/")[2],
            "currentNotebookPath": path,
            "isForPipeline": True,
            "isReferenceRun": is_child,
            "currentRunId": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", ""),
        }


class SparkSession(_Group):
    """The session, which belongs to the job."""

    NAME = "session"

    def __init__(self, utilities: DBUtils) -> None:
        self._notebook = utilities.notebook

    def stop(self) -> None:
        """End the notebook."""
        self._notebook.exit("")

    def restartPython(self) -> None:  # noqa: N802 - Synapse's name
        """Nothing to do: what ``%pip`` installs is found at once."""


class MSSparkUtils:
    """The utilities of one notebook.

    :param path: the notebook's.
    :param is_child: another notebook runs it.
    """

    def __init__(self, utilities: DBUtils, path: str, *, is_child: bool) -> None:
        self.fs, self.notebook, self.credentials = Fs(utilities), Notebook(utilities), Credentials(utilities)
        self.env, self.runtime, self.session = Env(), Runtime(path, is_child), SparkSession(utilities)

    def help(self, *_: str) -> None:
        """Print the groups."""
        print("mssparkutils: credentials, env, fs, notebook, runtime, session")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Missing(f"mssparkutils.{name}: is not there: mssparkutils has credentials, env, fs, notebook, runtime and session")


def names_of(utilities: MSSparkUtils) -> dict[str, Any]:
    """What a notebook finds without an import, and with one: ``from notebookutils import mssparkutils``."""
    for name in (*MODULES, "notebookutils.mssparkutils"):
        module: Any = types.ModuleType(name, "Synapse's utilities, as far as they make sense here.")
        vars(module).update(vars(utilities), mssparkutils=utilities, notebookutils=utilities, __path__=[])
        sys.modules[name] = module
    return dict.fromkeys(MODULES, utilities)
