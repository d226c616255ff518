"""Runs a job whose folder lies in the staging area, and leaves its outcome there: ``run_staged.py s3://…/jobs/TOKEN``.

Started by ``spark-submit``, it reads and writes through Hadoop, as the role that the job has; a folder on this machine needs
none. Secrets come in files of that folder and go into the program's environment and the driver's properties, never into an
argument. It runs on Python 3.9, which EMR 7 brings.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_LARGEST_RESULT = 16 << 20


class Folder:
    """Files on this machine, by ``file:`` URI."""

    def read(self, uri: str) -> bytes:
        """The content; :class:`FileNotFoundError` when there is none."""
        return _path(uri).read_bytes()

    def write(self, uri: str, data: bytes) -> None:
        """Store the content."""
        _path(uri).write_bytes(data)

    def remove(self, uri: str) -> None:
        """Remove the file."""
        _path(uri).unlink(missing_ok=True)

    def set_properties(self, properties: dict[str, str]) -> None:
        """Refuse them: there is no driver here."""
        if properties:
            raise RuntimeError("Spark properties need a driver: start this with spark-submit")


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

    def set_properties(self, properties: dict[str, str]) -> None:
        """Give Spark properties to the context that the program will make."""
        for key, value in properties.items():
            self.jvm.java.lang.System.setProperty(key, value)

    def _at(self, uri: str) -> Any:
        path = self.jvm.org.apache.hadoop.fs.Path(uri)
        return path.getFileSystem(self.conf), path


def run(folder: str) -> int:
    """Run the job, leave its outcome and return its exit code."""
    files: Any = Hadoop() if "PYSPARK_GATEWAY_PORT" in os.environ else Folder()
    job = json.loads(files.read(f"{folder}/job.json"))
    with tempfile.TemporaryDirectory(prefix="job-") as scratch:
        code, message = _run_program(files, job, Path(scratch))
        result = None
        if not code:
            result, message = _result(Path(scratch) / "result.json")
        outcome = {"exit_code": code, "message": message, "result": result}
        files.write(f"{folder}/outcome.json", json.dumps(outcome).encode())
        return code or int(bool(message))


def _run_program(files: Any, job: dict[str, Any], scratch: Path) -> tuple[int, str]:
    """The program's exit code, and its last error."""
    files.set_properties(_secrets(files, job["properties"]))
    secrets = _secrets(files, job["secrets"], once=True)
    runner, program = (_fetched(files, job[name], scratch) for name in ("runner", "program"))
    work = scratch / "work"
    work.mkdir()
    for uri in job["files"]:
        _fetched(files, uri, work)
    told = {"AIRFLOW_ML_RESULT": str(scratch / "result.json"), "AIRFLOW_ML_ERROR": str(scratch / "error.json")}
    process = subprocess.Popen(
        [sys.executable, str(runner), str(program), *job["args"]],
        env={"PYTHONUNBUFFERED": "1", **os.environ, **job["env"], **secrets, **told},
        cwd=work,
        start_new_session=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: _end(process))
    try:
        code = process.wait(job["timeout"])
    except subprocess.TimeoutExpired:
        _end(process)
        return 1, f"the timeout of {job['timeout']:g} s has passed"
    return code, _error(scratch / "error.json", code)


def _secrets(files: Any, uri: str | None, *, once: bool = False) -> dict[str, str]:
    """The secrets in a file, which goes when only this job needs it; none when there is no file."""
    if uri is None:
        return {}
    try:
        found: dict[str, str] = json.loads(files.read(uri))
    except FileNotFoundError:
        return {}
    if once:
        try:
            files.remove(uri)
        except Exception as error:  # noqa: BLE001 - a role that may not is no fault: the file goes with the cluster
            print(f"{uri} stays until its cluster ends: {type(error).__name__}", file=sys.stderr)
    return found


def _fetched(files: Any, uri: str, scratch: Path) -> Path:
    path = scratch / uri.rpartition("/")[2]
    path.write_bytes(files.read(uri))
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


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
