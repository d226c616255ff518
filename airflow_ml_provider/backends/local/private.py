"""A cluster's secret files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow_ml_provider.backends.local import commands
from airflow_ml_provider.backends.local.layout import make_folder
from airflow_ml_provider.core.mounts import FILE_KEY


def write_private(scratch: Path, given: Mapping[str, str]) -> list[Path]:
    """Hadoop's secret settings and the files that others lead to, for the owner alone; where they are, if there are any."""
    files = {key.removeprefix(FILE_KEY): text for key, text in given.items() if key.startswith(FILE_KEY)}
    if settings := commands.hadoop_secrets(given):
        files["core-site.xml"] = commands.site_xml(settings)
    if not files:
        return []
    folder = make_folder(scratch / commands.PRIVATE)
    for name, text in files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text, encoding="utf-8")
    return [folder]
