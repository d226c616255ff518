"""Notes that it ran, waits until it is let go, and hands back how often it has run.

``waits.py FOLDER NAME [FAILURES]``: its first FAILURES runs fail.
"""

import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

folder, name, failures = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0
with (folder / f"{name}.runs").open("a") as noted:
    noted.write(f"{os.getpid()}\n")
runs = len((folder / f"{name}.runs").read_text().splitlines())
print(f"{name}: run {runs}", flush=True)
while not (folder / f"{name}.go").exists():
    time.sleep(0.05)
if runs <= failures:
    raise ValueError(f"run {runs} was told to fail")
rows = SparkSession.builder.getOrCreate().range(100).count()
Path(os.environ["AIRFLOW_ML_RESULT"]).write_text(json.dumps({"runs": runs, "rows": rows}))
