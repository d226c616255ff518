"""Resolve the storage connectors anew and write which jars they are: ``python -m scripts.connectors``. Needs Maven Central.

Run it when PySpark brings another Hadoop. A cluster then downloads exactly these files, and resolves nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from airflow_ml_provider.backends.local.connectors import LOCK, hadoop_version
from airflow_ml_provider.backends.local.supervisor import spark_home

_SDK = "2.35.4"
_ROOTS = {
    "aws": [
        "org.apache.hadoop:hadoop-aws:{hadoop}",
        *(
            f"software.amazon.awssdk:{name}:{_SDK}"
            for name in ("s3", "s3-transfer-manager", "sts", "apache-client", "netty-nio-client")
        ),
    ],
    "azure": ["org.apache.hadoop:hadoop-azure:{hadoop}"],
    "gcs": ["org.apache.hadoop:hadoop-gcp:{hadoop}"],
}
_LEFT_OUT = {
    "bundle": "the whole AWS SDK, 686 MB, of which S3A needs what is named above",
    "azure-storage": "of the wasb connector that Hadoop no longer has",
    "azure-keyvault-core": "the same",
    "commons-logging": "Spark has jcl-over-slf4j in its place",
    "hadoop-shaded-guava": "in Spark's hadoop-client-runtime",
}
_JAR = re.compile(r"(?P<group>[^_]+)_(?P<artifact>.+?)-(?P<version>\d[^/]*)\.jar")


def main() -> None:
    """Write the lock file."""
    home = spark_home()
    hadoop = hadoop_version(home)
    libraries = {name: _locked(home, [item.format(hadoop=hadoop) for item in roots]) for name, roots in _ROOTS.items()}
    LOCK.write_text(json.dumps({"hadoop": hadoop, "libraries": libraries}, indent=1) + "\n", encoding="utf-8")
    for name, jars in libraries.items():
        print(f"{name}: {len(jars)} jars, {sum(jar['bytes'] for jar in jars) / 1e6:.1f} MB")


def _locked(home: Path, coordinates: list[str]) -> list[dict[str, Any]]:
    have = {_artifact(path.name) for path in (home / "jars").glob("*.jar")}
    with tempfile.TemporaryDirectory() as folder:
        jars = [(_JAR.fullmatch(path.name), path.read_bytes()) for path in _resolve(home, coordinates, Path(folder))]
    return [
        {
            "jar": f"{found['group']}:{found['artifact']}:{found['version']}",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
        for found, content in jars
        if found is not None and found["artifact"] not in have and found["artifact"] not in _LEFT_OUT
    ]


def _resolve(home: Path, coordinates: list[str], folder: Path) -> list[Path]:
    program = folder / "nothing.py"
    program.touch()
    command = [
        *(str(home / "bin" / "spark-submit"), "--packages", ",".join(coordinates)),
        *("--exclude-packages", "software.amazon.awssdk:bundle", "--conf", f"spark.jars.ivy={folder}", str(program)),
    ]
    subprocess.run(command, env={**os.environ, "SPARK_HOME": str(home)}, check=True, timeout=1800)
    return sorted((folder / "jars").glob("*.jar"))


def _artifact(name: str) -> str:
    return re.split(r"-\d", name, maxsplit=1)[0]


if __name__ == "__main__":
    main()
