"""A stream's driver is killed again and again while it writes: every row is in the output exactly once.

``SOAK_KILLS`` (20) kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.seed import SEED

pytestmark = pytest.mark.soak

KILLS = int(os.environ.get("SOAK_KILLS", "20"))
ROWS_OF_FILE = 50
# A batch a file: the driver is nearly always between the start of a batch's write and its commit.
PROGRAM = """
import sys, time
from pyspark.sql import SparkSession
source, output, checkpoint = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    .config("spark.sql.streaming.fileSource.log.compactInterval", "5").getOrCreate()
)
table = spark.readStream.schema("id LONG").option("maxFilesPerTrigger", 1).json(source)
writer = table.selectExpr("id", "id % 3 AS part").writeStream.partitionBy("part").format("parquet")
query = writer.option("path", output).option("checkpointLocation", checkpoint).trigger(availableNow=True).start()
print("started", flush=True)
query.awaitTermination()
print("done", flush=True)
"""
COUNT = """
import json, sys
from pyspark.sql import SparkSession
table = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate().read.parquet(sys.argv[1])
print(json.dumps([table.count(), table.select("id").distinct().count()]))
"""


def test_every_row_is_written_exactly_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "stream.py").write_text(PROGRAM)
    (tmp_path / "count.py").write_text(COUNT)
    files = 0
    in_between = 0
    for kill in range(KILLS):
        for _ in range(10):
            _add(source, files)
            files += 1
        in_between += _run_and_kill(tmp_path, chance)
        print(f"kill {kill + 1} of {KILLS}: {in_between} between a write and its commit so far", flush=True)
    last = subprocess.run(_command(tmp_path), capture_output=True, text=True, timeout=600, check=True)
    assert "done" in last.stdout
    counted = [sys.executable, str(tmp_path / "count.py"), str(tmp_path / "output")]
    found = subprocess.run(counted, capture_output=True, text=True, timeout=300, check=True).stdout.splitlines()[-1]
    assert json.loads(found) == [files * ROWS_OF_FILE] * 2
    assert in_between, "no kill fell between a write and its commit: take more kills"


def _add(source: Path, number: int) -> None:
    rows = range(number * ROWS_OF_FILE, (number + 1) * ROWS_OF_FILE)
    hidden = source / f".{number:06}.json"
    hidden.write_text("".join(json.dumps({"id": row}) + "\n" for row in rows))
    hidden.rename(source / f"{number:06}.json")


def _run_and_kill(folder: Path, chance: random.Random) -> bool:
    """Run the stream, kill its whole session after some batches, and tell whether a batch was begun and not committed."""
    with subprocess.Popen(
        _command(folder), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(chance.uniform(0.5, 6.0))
        _kill_session(process.pid)
    return _newest(folder / "checkpoint" / "offsets") > _newest(folder / "checkpoint" / "commits")


def _kill_session(leader: int) -> None:
    """Python and its JVM, which has a process group of its own."""
    import psutil

    family = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def _newest(log: Path) -> int:
    return max((int(path.name) for path in log.glob("[0-9]*") if path.name.isdigit()), default=-1) if log.is_dir() else -1


def _command(folder: Path) -> list[str]:
    return [sys.executable, *(str(folder / name) for name in ("stream.py", "source", "output", "checkpoint"))]
