"""What masking secrets costs a notebook that prints: 20,000 lines with ten secrets to mask, against the same lines with none.

Prints seconds of the processor and lines a second. One secret is a storage account's connection string.
"""

from __future__ import annotations

import base64
import io
import statistics
import time

from table import print_ratio, print_times

from airflow_ml_provider.runners.notebook.outputs import Recorder
from airflow_ml_provider.runners.notebook.redaction import Redactor

LINES, ROUNDS, EXPECTED = 20_000, 5, 12.0
KEY = base64.b64encode(bytes(range(64))).decode()
STORAGE = f"DefaultEndpointsProtocol=https;AccountName=saleslake;AccountKey={KEY};EndpointSuffix=core.windows.net"
SECRETS = [STORAGE, *(f"{number}-{base64.b64encode(bytes(range(number, number + 20))).decode()}" for number in range(9))]


def seconds(secrets: list[str]) -> float:
    """Print every line as ``print`` does: the text, then the end of the line."""
    log = io.StringIO()
    recorder = Recorder(Redactor(secrets), log)
    began = time.process_time()
    for number in range(LINES):
        recorder.text("stdout", f"row {number}: the value in default/2024 of account saleslake is {number * 3.7:.4f}")
        recorder.text("stdout", "\n")
    recorder.finish()
    assert log.getvalue().count("\n") == LINES
    return time.process_time() - began


def main() -> None:
    times: dict[str, list[float]] = {"ten secrets": [], "no secret": []}
    for _ in range(ROUNDS):
        times["ten secrets"].append(seconds(SECRETS))
        times["no secret"].append(seconds([]))
    print_times(f"{LINES} printed lines", times)
    print(f"  {LINES / statistics.median(times['ten secrets']):,.0f} lines a second")
    print_ratio("ten secrets against none", times["ten secrets"], times["no secret"], EXPECTED)


if __name__ == "__main__":
    main()
