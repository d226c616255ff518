"""Runs one Python program the way ``python PROGRAM ARGS…`` does, and notes its last error as JSON in ``$AIRFLOW_ML_ERROR``.

``$AIRFLOW_ML_SESSION_CONF``, a JSON object, holds Spark properties for the program's session, and ``$AIRFLOW_ML_SESSION_JARS``, a
JSON list, the jars that a session of Spark Connect gets.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path

ERROR_VARIABLE = "AIRFLOW_ML_ERROR"
SESSION_CONF_VARIABLE = "AIRFLOW_ML_SESSION_CONF"
JARS_VARIABLE = "AIRFLOW_ML_SESSION_JARS"
_CLASSIC_ONLY = (
    *("JVM_ATTRIBUTE_NOT_SUPPORTED", "CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT", "ONLY_SUPPORTED_WITH_SPARK_CLASSIC"),
    *("NOT_IMPLEMENTED", "MASTER_URL_NOT_SET", "CANNOT_CONFIGURE_SPARK_CONNECT_MASTER"),
)
_CLASSIC_HINT = (
    "The program uses a part of PySpark that needs the driver's JVM in its own process, and it runs under Spark Connect: "
    'declare the program with api="classic"'
)
_JVM_TRACE = "\n\nJVM stacktrace:"
_LONGEST = 4000


def run(program: str, args: list[str]) -> int:
    """Run the program in this process and return its exit code."""
    sys.argv = [program, *args]
    sys.path[0] = str(Path(program).parent)
    try:
        _prepare_session()
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        return _exit_code(end)
    except BaseException as error:  # noqa: BLE001 - whatever a program raises ends it
        _report(error)
        return 1
    finally:
        _close_session()
        _flush()
    return 0


def _prepare_session() -> None:
    conf = json.loads(os.environ.pop(SESSION_CONF_VARIABLE, "{}"))
    jars = json.loads(os.environ.pop(JARS_VARIABLE, "[]"))
    if conf or jars:
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.getOrCreate()
        for key, value in conf.items():
            spark.conf.set(key, value)
        if jars:
            spark.addArtifacts(*jars)


def _close_session() -> None:
    """End the Spark Connect session, so that the server forgets what the program left in it."""
    module = sys.modules.get("pyspark.sql.connect.session")
    if module is None or not os.environ.get("SPARK_REMOTE"):
        return
    try:
        for session in {module.SparkSession.getActiveSession(), module.SparkSession._default_session} - {None}:
            session.stop()
    except Exception as error:  # noqa: BLE001 - the program's own outcome counts, and the server forgets idle sessions
        print(f"The Spark session did not close: {error}", file=sys.stderr)


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        if end.code:
            _note(f"exit code {end.code}")
        return end.code
    print(end.code, file=sys.stderr)
    _note(str(end.code))
    return 1


def _report(error: BaseException) -> None:
    """Print the traceback from the program's first line on, and note the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)
    message = "".join(traceback.format_exception_only(type(error), error)).partition(_JVM_TRACE)[0].strip()
    if _needs_classic(error):
        print(_CLASSIC_HINT, file=sys.stderr)
        message = f"{message}\n{_CLASSIC_HINT}"
    _note(message)


def _needs_classic(error: BaseException) -> bool:
    if not os.environ.get("SPARK_REMOTE"):
        return False
    condition = getattr(error, "getCondition", getattr(error, "getErrorClass", lambda: None))
    return type(error).__module__.startswith("pyspark") and str(condition()) in _CLASSIC_ONLY


def _note(message: str) -> None:
    path = os.environ.get(ERROR_VARIABLE)
    if path:
        Path(path).write_text(json.dumps({"message": message[:_LONGEST]}), encoding="utf-8")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the disk is full, or the program closed it


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
