"""Becomes the first process of a job once the job's libraries are there: ``python -m … REQUEST``.

The request, a JSON file, holds the command, whose program is null for the interpreter that has them, and ``properties``, the file of a
classic program's Spark properties. Under Spark Connect the session gets the jars, and workers of that interpreter.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.layout import write_json
from airflow_ml_provider.backends.local.libraries import jars_of, joined, python_with
from airflow_ml_provider.core.errors import ProviderError
from airflow_ml_provider.core.tools import patiently
from airflow_ml_provider.runners import run_python

_PYTHON_OF_SESSION = "spark.sql.execution.pyspark.python"


def main(request: dict[str, Any]) -> None:
    """Install, then become the command. Does not return but for an error, which is noted as a program's own is."""
    cache, libraries = Path(request["cache"]), request["libraries"]
    try:
        # A layer on the cluster's own: a job may ask for another version of what the cluster has.
        python = patiently(lambda: python_with(cache, python_with(cache, request["python"], request["of_cluster"]), libraries))
        jars = patiently(lambda: jars_of(cache, Path(request["java"]), Path(request["spark_home"]), libraries))
    except (ProviderError, OSError) as error:
        print(error, file=sys.stderr)
        write_json(Path(os.environ[run_python.ERROR_VARIABLE]), {"message": str(error)})
        sys.exit(1)
    env = {**os.environ, "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    if request["properties"]:
        _add_jars(Path(request["properties"]), request["jars"], jars)
    else:
        conf = json.loads(env.get(run_python.SESSION_CONF_VARIABLE, "{}"))
        env[run_python.SESSION_CONF_VARIABLE] = json.dumps({**conf, _PYTHON_OF_SESSION: python})
        env[run_python.JARS_VARIABLE] = json.dumps(jars)
    program, *arguments = request["command"]
    os.execve(program or python, [program or python, *arguments], env)  # noqa: S606 - the command is our own


def _add_jars(properties: Path, before: str, jars: list[str]) -> None:
    """What stands last in a properties file is what counts."""
    if jars:
        with properties.open("a", encoding="utf-8") as file:
            file.write(f"spark.jars={joined(before, *jars)}\n")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_bytes()))
