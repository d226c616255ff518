"""Notes that it ran, works for some seconds, and hands back who it is: ``notes.py FOLDER NAME SECONDS FAILURES``.

Its first FAILURES runs fail. ``WHO`` comes from the job's environment, the password from its secrets.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

folder, name, seconds, failures = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
note = folder / f"{os.environ['WHO'].replace('/', '.')}.{name}"
with note.open("a") as noted:
    noted.write(f"{os.getpid()}\n")
runs = len(note.read_text().splitlines())
print(f"{name}: run {runs}", flush=True)
time.sleep(seconds)
if runs <= failures:
    raise ValueError(f"run {runs} was told to fail")
secret = hashlib.sha256(os.environ.get("MLFLOW_TRACKING_PASSWORD", "").encode()).hexdigest()
Path(os.environ["AIRFLOW_ML_RESULT"]).write_text(json.dumps({"who": os.environ["WHO"], "name": name, "secret": secret}))
