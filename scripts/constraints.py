"""Writes ``constraints/airflow-X.txt``: one set of versions that fit each Airflow, for every Python and platform it runs on."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AIRFLOWS = ("3.1", "3.2", "3.3")
WANTED = ("pyspark==4.2.0", "asyncpg", "psycopg2-binary")
"""Spark held at the version that was developed on, and what Airflow needs for PostgreSQL."""
HELD = {"3.2": ("fastapi<0.137", "svcs<26")}
"""What an Airflow allows in versions that came after it, and does not run with."""


def resolve(airflow: str) -> None:
    """Resolve everything this package can need beside one Airflow."""
    target = ROOT / "constraints" / f"airflow-{airflow}.txt"
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.in")
        wanted.write_text("\n".join([f"apache-airflow=={airflow}.*", *WANTED, *HELD.get(airflow, ())]) + "\n")
        command = [
            "uv",
            "pip",
            "compile",
            "--quiet",
            "--universal",
            "--python-version",
            "3.11",
            "--extra",
            "all",
            "--extra",
            "jdk",
        ]
        command += ["--group", "dev", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        command += ["--no-emit-package", "airflow-ml-provider", "--upgrade", "-o", str(target), "pyproject.toml", str(wanted)]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "UV_NO_PROGRESS": "1"}, stdout=subprocess.DEVNULL)
    print(f"{target.relative_to(ROOT)}: {len(target.read_text().splitlines())} packages")


def main() -> None:
    """Resolve for every supported Airflow."""
    for airflow in AIRFLOWS:
        resolve(airflow)


if __name__ == "__main__":
    main()
