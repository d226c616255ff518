"""What a job that died in its commit left in a mount: nobody reads it, and the next one to overwrite takes it away."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_ml_provider.core.mounts import Mount
from tests.mounts.clusters import mounted_cluster

PROGRAM = """
import json, os, shutil
from pathlib import Path
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
table, base = Path({folder!r}, "table"), "dbfs:/mnt/out/table"
DEAD = "01234567-89ab-cdef-0123-456789abcdef"

def write(count, mode, place=base):
    spark.range(count).coalesce(1).write.mode(mode).json(place)

def dies(place, *, with_mark):
    (whole,) = [path for path in place.glob("part-*") if DEAD not in path.name]
    mark = table / "_unfinished" / place.relative_to(table) / DEAD
    shutil.copy(whole, place / f"part-00000-{{DEAD}}-c000.json")
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch() if with_mark else mark.unlink()

def read():
    return spark.read.schema("id long").json(base).count()

found = []
for day in (1, 2):
    write(4, "error", f"{{base}}/day={{day}}")
dies(table / "day=1", with_mark=True)
found.append(read())
dies(table / "day=1", with_mark=False)
found.append(read())
dies(table / "day=1", with_mark=True)
write(1, "append", base + "/day=2")
found.append(read())
write(2, "overwrite", base + "/day=1")
found.append(read())
found.append(sorted({{str(path.relative_to(table)) for path in table.rglob("*") if DEAD in path.name or path.is_dir()}}))
dies(table / "day=1", with_mark=True)
write(3, "overwrite")
found += [read(), sorted(path.name for path in table.iterdir() if path.name[0] not in ".p")]
json.dump(found, open(os.environ["AIRFLOW_ML_RESULT"], "w"))
"""


@pytest.mark.soak  # tests/soak/test_commits.py kills many
def test_what_a_dead_job_left_is_never_read(spark_root: Path, tmp_path: Path) -> None:
    with mounted_cluster(spark_root, {Mount("out", str(tmp_path)): None}) as cluster:
        found = cluster.run(PROGRAM.format(folder=str(tmp_path)))
    assert found == [8, 12, 9, 7, ["day=1", "day=2"], 3, ["_SUCCESS"]]
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
