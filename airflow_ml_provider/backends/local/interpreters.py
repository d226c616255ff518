"""What programs need on this machine beside Spark: looked for before anything starts."""

from __future__ import annotations

import shutil

from airflow_ml_provider.core.errors import SpecError
from airflow_ml_provider.core.notebooks import kernel_of, languages_of
from airflow_ml_provider.core.spec import JobSpec, Notebook, RScript


def refuse_missing(spec: JobSpec) -> None:
    """:class:`SpecError` when nothing here runs the program. What libraries or another Python may bring is left to the job."""
    program = spec.program
    if isinstance(program, RScript):
        _refuse_r("an RScript")
    if not isinstance(program, Notebook):
        return
    if kernel := kernel_of(program):
        if not spec.libraries and not spec.native:
            _refuse_kernel(kernel)
    elif "r" in languages_of(program):
        _refuse_r("a Notebook with cells in R")


def _refuse_r(what: str) -> None:
    if shutil.which("Rscript") is None:
        raise SpecError(f"JobSpec.program: got {what}: this machine has no Rscript: install R (Debian: r-base-core)")


def _refuse_kernel(kernel: str) -> None:
    try:
        from jupyter_client.kernelspec import KernelSpecManager
    except ImportError as error:
        fix = 'pip install "airflow-ml-provider[notebooks]"'
        raise SpecError(f"Notebook.kernel: got {kernel!r}: no kernel can be started here ({error}): {fix}") from None
    known = sorted(KernelSpecManager().find_kernel_specs())
    if kernel not in known:
        raise SpecError(f"Notebook.kernel: got {kernel!r}: is not installed on this machine: takes {' or '.join(known)}")
