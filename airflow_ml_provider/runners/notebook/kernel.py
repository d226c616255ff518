"""Runs a notebook in a Jupyter kernel of its own: any that is installed where the driver runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cells import Cell
from .document import Ran, to_ipynb
from .errors import CellFailed, Missing
from .outputs import Recorder


def needs_kernel(asked: str | None, found: str | None, language: str, databricks: bool) -> str | None:
    """The kernel to start, or None for Python that runs in this process.

    :param asked: by the job.
    :param found: in the notebook.
    """
    if asked or databricks or language == "python":
        return asked
    return found or language


def run_in_kernel(kernel: str, cells: Sequence[Cell], recorder: Recorder) -> list[Ran]:
    """Run the cells; the last one that ran has failed if one did. Outputs go through the recorder, which bounds them."""
    client = _client(kernel, cells)
    ran = [Ran(cell) for cell in cells]

    def copy(cell: Any, cell_index: int, **_: Any) -> None:
        outputs = [json.loads(json.dumps(output)) for output in cell.get("outputs", ())]
        failed = any(output["output_type"] == "error" for output in outputs)
        for output in outputs:
            if output["output_type"] == "stream":
                recorder.text(output["name"], output["text"])
            elif output["output_type"] == "error":
                recorder.error(output["ename"], output["evalue"], "\n".join(output["traceback"]))
            else:
                recorder.data(output["data"])
        ran[cell_index].outputs, ran[cell_index].state = recorder.take(), "failed" if failed else "ok"

    client.on_cell_executed = copy
    from nbclient.exceptions import CellExecutionError

    try:
        client.execute(cwd=str(Path.cwd()))
    except CellExecutionError as error:
        number = next((at for at, one in enumerate(ran, 1) if one.state == "failed"), 0)
        raise KernelCellFailed(number, f"{error.ename}: {error.evalue}", ran) from None
    return ran


class KernelCellFailed(CellFailed):
    """A cell failed in a kernel.

    :param number: of the cell.
    :param ran: all cells with what became of them.
    """

    def __init__(self, number: int, message: str, ran: list[Ran]) -> None:
        super().__init__(message)
        self.number = number
        self.ran = ran


def _client(kernel: str, cells: Sequence[Cell]) -> Any:
    try:
        import nbclient
        import nbformat
        from jupyter_client.kernelspec import KernelSpecManager
    except ImportError as error:
        fix = 'pip install "airflow-ml-provider[notebooks]" where the driver runs'
        raise Missing(f"kernel {kernel!r}: cannot be started ({error}): {fix}") from None
    known = sorted(KernelSpecManager().find_kernel_specs())
    if kernel not in known:
        raise Missing(f"kernel {kernel!r}: is not installed where the driver runs: takes one of {', '.join(known) or 'none'}")
    document = nbformat.reads(  # type: ignore[no-untyped-call]
        to_ipynb([Ran(cell) for cell in cells], language=kernel, facts={}), as_version=4
    )
    return nbclient.NotebookClient(document, kernel_name=kernel, timeout=None)
