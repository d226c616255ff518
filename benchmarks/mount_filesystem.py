"""``mount://`` against the fsspec filesystem behind it, used directly: the same files, on S3 and in a folder.

    mount_filesystem.py [--repeats 5] [--mib 256] [--files 500]

Of a big file the throughput of reading and writing; of many small ones the time to write, list and read them all. Both sides take
turns in one process on one server. The server is SeaweedFS, which the project's tests use.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from table import print_ratio, print_times

from airflow_ml_provider.filesystems.mount import MountFileSystem
from airflow_ml_provider.hooks.mount import MountHook
from tests.servers.seaweedfs import seaweedfs

_BLOCK = 8 << 20
AT_LEAST = 0.97
"""Of the throughput."""
Side = tuple[Any, str]


def big(filesystem: Any, base: str, mib: int) -> None:
    """Write a file and read it."""
    block = bytes(_BLOCK)
    with filesystem.open(f"{base}/big", "wb") as file:
        for _ in range(mib // 8):
            file.write(block)
    with filesystem.open(f"{base}/big", "rb") as file:
        while file.read(_BLOCK):
            pass


def small(filesystem: Any, base: str, files: int) -> None:
    """Write many files, list them, read them."""
    filesystem.makedirs(f"{base}/small", exist_ok=True)
    for number in range(files):
        filesystem.pipe_file(f"{base}/small/{number}", b"x" * 100)
    filesystem.invalidate_cache()
    for path in filesystem.find(f"{base}/small"):
        filesystem.cat_file(path)


def compare(name: str, work: Callable[[Any, str], None], direct: Side, mounted: Side, repeats: int) -> None:
    """Time both sides in turns, after one round that does not count."""
    times: dict[str, list[float]] = {"direct": [], "mount://": []}
    sides = [("direct", direct), ("mount://", mounted)]
    for number in range(-1, repeats):
        for side, where in sides if number % 2 else sides[::-1]:
            begun = time.perf_counter()
            work(*where)
            if number >= 0:
                times[side].append(time.perf_counter() - begun)
    print_times(name, times)
    print_ratio("mount:// to direct", times["mount://"], times["direct"], 1 / AT_LEAST)


def main() -> None:
    """Both kinds of work on both kinds of storage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--files", type=int, default=500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, seaweedfs() as server:
        bucket = server.make("bench")
        os.environ["AIRFLOW_CONN_STORE"] = json.dumps(server.connection)
        for name, extra in {
            "store": {"source": f"s3://{bucket}/data", "credentials_conn_id": "store"},
            "folder": {"source": folder},
        }.items():
            os.environ[f"AIRFLOW_CONN_BENCH_{name.upper()}"] = json.dumps({"conn_type": "mount", "extra": extra})
            hook = MountHook(f"bench_{name}")
            direct, mounted = (hook.filesystem, hook.opened.path), (MountFileSystem(), f"bench_{name}")
            compare(f"{name}: one big file", lambda fs, base: big(fs, base, args.mib), direct, mounted, args.repeats)
            compare(f"{name}: small files", lambda fs, base: small(fs, base, args.files), direct, mounted, args.repeats)


if __name__ == "__main__":
    main()
