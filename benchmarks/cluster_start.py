"""From asking for a cluster to the first result, with and without the class-data archive (AppCDS).

    cluster_start.py [--repeats 5]

Counted: everything from ``create`` (the supervisor, the JVM, the warm-up query) to the end of a first job, seen by looks each 10 ms. Not
counted: making the archive, once a machine, and the cluster's end. Both sides have the JDK's own archive of its own classes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from clusters import COUNT, cluster, make_archive
from table import print_ratio, print_times

from airflow_ml_provider.backends.local.archive import Archive
from airflow_ml_provider.backends.local.java import find_jdk, with_shim
from airflow_ml_provider.backends.local.layout import make_folder
from airflow_ml_provider.backends.local.supervisor import spark_home
from scripts.processes import end_on_signals

BOUND = 0.6


def refuse_archive(root: Path) -> None:
    """Have clusters below ``root`` neither read nor make an archive: the last try to make one has just failed."""
    cache = make_folder(root / "cache")
    archive = Archive(cache, with_shim(find_jdk(), cache), spark_home())
    archive._failed.touch()


def measure(root: Path) -> tuple[float, float]:
    """Seconds until a new cluster is ready, and until its first job has ended."""
    with cluster(root) as started:
        ready = time.perf_counter() - started.asked
        started.run(COUNT)
        return ready, time.perf_counter() - started.asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        roots = {"with the archive": Path(folder, "with"), "without it": Path(folder, "without")}
        make_archive(roots["with the archive"])
        refuse_archive(roots["without it"])
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in roots}
        for _ in range(args.repeats):
            for name, root in roots.items():
                found[name].append(measure(root))
        if list(roots["without it"].glob("cache/*.jsa")):
            raise RuntimeError("the side without an archive has made one: the comparison says nothing")
    for place, title in enumerate(("until the cluster is ready", "until the first result")):
        times = {name: [pair[place] for pair in pairs] for name, pairs in found.items()}
        print_times(title, times)
    print_ratio("with the archive to without", times["with the archive"], times["without it"], BOUND)


if __name__ == "__main__":
    end_on_signals()
    main()
