"""Runs a job whose folder lies in the staging area, and leaves its outcome there: ``run_staged.py s3://…/jobs/TOKEN``.

Started by ``spark-submit``, it reads and writes through Hadoop, as the role that the job has; a folder on this machine needs
none. Secrets come in files of that folder and go into the program's environment and the driver's properties, never into an
argument. It runs on Python 3.9, which EMR 7 brings.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import zipfile
from pathlib import Path
from typing import Any

_LARGEST_RESULT = 16 << 20
_OF_THE_JVM = "run_jvm.py"
_REDACTION = "(?i)secret|password|token|access[.]?key"


class Folder:
    """Files on this machine, by ``file:`` URI."""

    def read(self, uri: str) -> bytes:
        """The content; :class:`FileNotFoundError` when there is none."""
        return _path(uri).read_bytes()

    def fetch(self, uri: str, path: Path) -> None:
        """Copy the file to this path; :class:`FileNotFoundError` when there is none."""
        shutil.copyfile(_path(uri), path)

    def write(self, uri: str, data: bytes) -> None:
        """Store the content."""
        _path(uri).write_bytes(data)

    def remove(self, uri: str) -> None:
        """Remove the file."""
        _path(uri).unlink(missing_ok=True)

    def hide(self, properties: dict[str, str]) -> None:
        """Refuse them: there is no driver here."""
        if properties:
            raise RuntimeError("Spark properties need a driver: start this with spark-submit")

    def add_jars(self, jars: list[str], cluster: dict[str, Any], scratch: Path) -> None:
        """Refuse them: there is no driver here."""
        if jars or cluster["classes"]:
            raise RuntimeError("JARs need a driver: start this with spark-submit")

    def add_archives(self, archives: list[Path]) -> None:
        """Nothing to do: there are no executors here."""

    def share(self, env: dict[str, str]) -> None:
        """Nothing to do: there is no driver here."""


class Hadoop:
    """Files of any filesystem that Hadoop knows, through the JVM that ``spark-submit`` has started."""

    def __init__(self) -> None:
        from pyspark.java_gateway import launch_gateway

        gateway: Any = launch_gateway
        self.jvm: Any = gateway().jvm
        spark = self.jvm.org.apache.spark
        self.conf = spark.deploy.SparkHadoopUtil.get().newConfiguration(spark.SparkConf())

    def read(self, uri: str) -> bytes:
        """The content; :class:`FileNotFoundError` when there is none."""
        system, path = self._at(uri)
        if not system.exists(path):
            raise FileNotFoundError(uri)
        stream = system.open(path)
        try:
            return bytes(self.jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
        finally:
            stream.close()

    def fetch(self, uri: str, path: Path) -> None:
        """Copy the file to this path; :class:`FileNotFoundError` when there is none."""
        system, place = self._at(uri)
        if not system.exists(place):
            raise FileNotFoundError(uri)
        # Hadoop takes what follows the scheme as it is: nothing in it is escaped.
        system.copyToLocalFile(False, place, self.jvm.org.apache.hadoop.fs.Path(f"file:{path}"), True)

    def write(self, uri: str, data: bytes) -> None:
        """Store the content."""
        system, path = self._at(uri)
        stream = system.create(path, True)
        try:
            stream.write(bytearray(data))
        finally:
            stream.close()

    def remove(self, uri: str) -> None:
        """Remove the file."""
        system, path = self._at(uri)
        system.delete(path, False)

    def hide(self, properties: dict[str, str]) -> None:
        """Give secret Spark properties to the context that the program will make; its pages and logs never show them."""
        names = "".join(f"|^{re.escape(key)}$" for key in sorted(properties))
        for key, value in properties.items():
            self._set(key, value)
        if names:
            self._set("spark.redaction.regex", f"{self._get('spark.redaction.regex') or _REDACTION}{names}")

    def add_jars(self, jars: list[str], cluster: dict[str, Any], scratch: Path) -> None:
        """Put JARs where driver and executors find them, with the classes of mounts where the cluster needs these."""
        if not jars and not cluster["classes"]:
            return
        from pyspark import java_gateway

        launch: Any = java_gateway.launch_gateway
        _fetched(self, cluster["jvm"], scratch)
        sys.path.insert(0, str(scratch))
        tool, gateway = importlib.import_module("run_jvm"), launch()
        if cluster["classes"]:
            tool.add(gateway, self._classes(tool, gateway, cluster, scratch))
        for place, uri in enumerate(jars):
            tool.add(gateway, _fetched(self, uri, scratch / f"jar{place}"))

    def add_archives(self, archives: list[Path]) -> None:
        """Have executors unpack archives of Python packages, each under its own name, and find them there."""
        if archives:
            names = [path.stem for path in archives]
            self._set("spark.archives", _joined(",", self._get("spark.archives"), *(f"{path}#{path.stem}" for path in archives)))
            self._set("spark.executorEnv.PYTHONPATH", _joined(":", *names, self._get("spark.executorEnv.PYTHONPATH")))

    def share(self, env: dict[str, str]) -> None:
        """Let the driver's JVM find variables: it began before they were known, and programs of the JVM run in it.

        Java offers no way to do so. Spark opens to itself the modules that hold its map of them.
        """
        field = self.jvm.java.lang.Class.forName("java.util.Collections$UnmodifiableMap").getDeclaredField("m")
        field.setAccessible(True)
        held = field.get(self.jvm.java.lang.System.getenv())
        for name, value in env.items():
            held.put(name, value)

    def _classes(self, tool: Any, gateway: Any, cluster: dict[str, Any], scratch: Path) -> Path:
        """The classes of mounts as a JAR, compiled by the first job for the Spark that is here, and kept for the others."""
        try:
            return _fetched(self, cluster["compiled"], scratch / "classes")
        except FileNotFoundError:
            source = _fetched(self, cluster["classes"], scratch / "classes").read_text(encoding="utf-8")
            jar: Path = tool.compiled(gateway, source, scratch / "classes")
            self.write(cluster["compiled"], jar.read_bytes())
            return jar

    def _get(self, key: str) -> str | None:
        found: str | None = self.jvm.java.lang.System.getProperty(key)
        return found

    def _set(self, key: str, value: str) -> None:
        self.jvm.java.lang.System.setProperty(key, value)

    def _at(self, uri: str) -> Any:
        path = self.jvm.org.apache.hadoop.fs.Path(uri)
        return path.getFileSystem(self.conf), path


def run(folder: str) -> int:
    """Run the job, leave its outcome and return its exit code."""
    files: Any = Hadoop() if "PYSPARK_GATEWAY_PORT" in os.environ else Folder()
    job = json.loads(files.read(f"{folder}/job.json"))
    with tempfile.TemporaryDirectory(prefix="job-") as scratch:
        try:
            code, message = _run_program(files, job, Path(scratch))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it was, the job has an outcome
            traceback.print_exc()
            code, message = 1, f"the program could not be started: {type(error).__name__}: {error}"
        result = None
        if not code:
            result, message = _result(Path(scratch) / "result.json")
        outcome = {"exit_code": code, "message": message, "result": result}
        files.write(f"{folder}/outcome.json", json.dumps(outcome).encode())
        return code or int(bool(message))


def _run_program(files: Any, job: dict[str, Any], scratch: Path) -> tuple[int, str]:
    """The program's exit code, and its last error."""
    files.hide(_secrets(files, job["properties"]))
    secrets = _secrets(files, job["secrets"])
    if job["secrets"] and not job["repeats"]:
        _remove(files, job["secrets"])
    packages = _add_libraries(files, job, scratch)
    runner, program = (_fetched(files, job[name], scratch) for name in ("runner", "program"))
    work = scratch / "work"
    work.mkdir()
    for place, file in enumerate(job["files"]):
        _fetched(files, file["uri"], scratch / f"file{place}").rename(work / file["name"])
    told = {"AIRFLOW_ML_RESULT": str(scratch / "result.json"), "AIRFLOW_ML_ERROR": str(scratch / "error.json")}
    own = {**job["env"], **secrets, **told}
    if program.name == _OF_THE_JVM:
        files.share(own)
    process = subprocess.Popen(
        [sys.executable, str(runner), str(program), *job["args"]],
        env={"PYTHONUNBUFFERED": "1", **os.environ, **packages, **own},
        cwd=work,
        start_new_session=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: _kill(process))
    try:
        code = process.wait(job["timeout"])
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()
        return 1, f"the timeout of {job['timeout']:g} s has passed"
    return code, _error(scratch / "error.json", code)


def _add_libraries(files: Any, job: dict[str, Any], scratch: Path) -> dict[str, str]:
    """Put the job's and the cluster's libraries where they are found; the variables of the program for these."""
    cluster = json.loads(files.read(job["cluster"]))
    files.add_jars(job["jars"], cluster, scratch)
    archives = []
    for place, uri in enumerate((*job["archives"], *cluster["archives"])):
        fetched = _fetched(files, uri, scratch / f"archive{place}")
        archives.append(fetched.rename(fetched.with_name(f"packages{place}.zip")))
        with zipfile.ZipFile(archives[-1]) as archive:
            archive.extractall(archives[-1].with_suffix(""))
    files.add_archives(archives)
    paths = [str(path.with_suffix("")) for path in archives]
    return {"PYTHONPATH": _joined(":", *paths, os.environ.get("PYTHONPATH"))} if paths else {}


def _joined(mark: str, *texts: str | None) -> str:
    return mark.join(filter(None, texts))


def _secrets(files: Any, uri: str | None) -> dict[str, str]:
    """The secrets in a file, if there are any."""
    if uri is None:
        return {}
    try:
        found: dict[str, str] = json.loads(files.read(uri))
    except FileNotFoundError:
        raise RuntimeError(
            f"{uri} does not exist any more: an earlier attempt at this job has read the secrets and removed them, or the cluster "
            "was terminated. Let Airflow retry the task, which submits the job and its secrets anew"
        ) from None
    return found


def _remove(files: Any, uri: str) -> None:
    """Remove a job's secrets as soon as they are read."""
    try:
        files.remove(uri)
    except Exception as error:  # noqa: BLE001 - a role that may not is no fault: the file goes with the cluster
        print(f"{uri} stays until its cluster ends: {type(error).__name__}", file=sys.stderr)


def _fetched(files: Any, uri: str, folder: Path) -> Path:
    """A file of the staging area, in a folder here; :class:`FileNotFoundError` when there is none."""
    folder.mkdir(exist_ok=True)
    path = folder / uri.rpartition("/")[2]
    files.fetch(uri, path)
    return path


def _error(path: Path, code: int) -> str:
    if not code:
        return ""
    if path.exists():
        return str(json.loads(path.read_text(encoding="utf-8"))["message"])
    return f"the program ended with {'signal ' + str(-code) if code < 0 else 'exit code ' + str(code)}"


def _result(path: Path) -> tuple[Any, str]:
    """The value that the program handed back, or what is wrong with it."""
    if not path.exists():
        return None, ""
    if path.stat().st_size > _LARGEST_RESULT:
        return None, f"the result has {path.stat().st_size} bytes: takes at most {_LARGEST_RESULT}: store it, and hand back where"
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse), ""
    except ValueError as error:
        return None, f"the result is no JSON: {error}"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number: hand back null or text in its place")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all that it has started. Whoever waits for it goes on waiting: a signal's handler must not."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
