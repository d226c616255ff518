"""Archives of Python packages for machines of Amazon: the same bytes from the same packages, or pip's own words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from airflow_ml_provider.backends.aws.packages import archive, zipped
from airflow_ml_provider.core.errors import ConfigurationError
from tests.contract.programs import versioned


def test_an_archive_holds_what_pip_installs(tmp_path: Path) -> None:
    made = archive([{"kind": "wheel", "path": versioned(tmp_path, "1.0")}], python="3.9", machine="aarch64")
    assert {"versioned.py", "versioned-1.0.dist-info/METADATA"} <= {*zipfile.ZipFile(io.BytesIO(made)).namelist()}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name, order in (("a", (1, 2)), ("b", (2, 1))):
        for number in order:
            (tmp_path / name / str(number)).mkdir(parents=True)
            (tmp_path / name / str(number) / "module.py").write_text(f"NUMBER = {number}\n")
        made.append(zipped(tmp_path / name))
    assert made[0] == made[1]


def test_a_package_that_is_nowhere_is_told_in_pips_words() -> None:
    packages = [{"kind": "pypi", "requirement": "airflow-ml-nowhere==1", "index_url": "file:///nowhere"}]
    with pytest.raises(ConfigurationError, match=r"(?s)could not be installed for Python 3.11 on x86_64:\n.*airflow-ml-nowhere"):
        archive(packages, python="3.11", machine="x86_64")
