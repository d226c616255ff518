"""Runs an R script with ``Rscript``: ``run_r.py SCRIPT ARGS…``. Its exit code is the program's."""

from __future__ import annotations

import shutil
import subprocess
import sys

if __name__ == "__main__":
    interpreter = shutil.which("Rscript")
    if interpreter is None:
        sys.exit("the cluster has no Rscript: install R on it")
    sys.exit(subprocess.run([interpreter, *sys.argv[1:]], check=False).returncode)
