"""The cost of copying a long driver's log from S3 into a task's log, page by page.

    log_pages.py [MIB]

The log is one gzip object. One side downloads and decompresses the whole object for each page of 256 KiB, as the provider did
before; the other is the provider's reader. S3 is moto's, in this process, so that seconds are the processor's and not a network's.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import boto3  # type: ignore[import-untyped]
from moto import mock_aws

from airflow_ml_provider.backends.aws.logs import Logs
from airflow_ml_provider.core.staging import Place

MIB = 1 << 20
PLACE = Place("s3", "bucket-of-logs", "steps/s-1/stdout.gz")
WHOLE_PAGE = 256 << 10
LINE = b"26/11/27 10:%02d:%02d INFO DAGScheduler: ShuffleMapStage %d (count at flights.py:%d) finished in %d.%03d s\n"


class Cost(NamedTuple):
    """What one side took.

    :param megabytes: that S3 sent.
    """

    requests: int
    megabytes: float
    pages: int
    lines: int
    seconds: float


def main(size: int) -> None:
    """Read the log both ways, and show the table."""
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret")
        s3.create_bucket(Bucket=PLACE.bucket)
        text = log_of(size * MIB)
        s3.put_object(Bucket=PLACE.bucket, Key=PLACE.key, Body=gzip.compress(text))
        before, after = measured(s3, whole_pages), measured(s3, reader_pages)
    assert before.lines == after.lines == text.count(b"\n")
    print(f"\nA log of {len(text) / MIB:.0f} MiB, {before.lines} lines")
    for name, cost in (("whole download for each page", before), ("reader", after)):
        print(
            f"  {name:<29} {cost.pages:4} pages {cost.requests:4} requests {cost.megabytes:7.1f} MiB sent {cost.seconds:7.2f} s"
        )
    print(
        f"  ratio of the bytes sent {after.megabytes / before.megabytes:.4f}, of the seconds {after.seconds / before.seconds:.4f}"
    )
    print("  (expected: both at most 0.1)")


def log_of(size: int) -> bytes:
    """Lines that look like Spark's, and compress about as well."""
    lines = []
    left = size
    number = 0
    while left > 0:
        mixed = number * 2_654_435_761 % (1 << 32)
        lines.append(LINE % (number // 60 % 60, number % 60, number, mixed % 400, mixed >> 20, mixed % 1000))
        left -= len(lines[-1])
        number += 1
    return b"".join(lines)


def measured(s3: Any, read: Callable[[Any], tuple[int, int]]) -> Cost:
    """Run one side and count what S3 sent."""
    sent: list[int] = []

    def note(parsed: dict[str, Any], **_: Any) -> None:
        sent.append(parsed.get("ContentLength", 0))

    s3.meta.events.register("after-call.s3.GetObject", note)
    began = time.perf_counter()
    pages, lines = read(s3)
    seconds = time.perf_counter() - began
    s3.meta.events.unregister("after-call.s3.GetObject", note)
    return Cost(len(sent), sum(sent) / MIB, pages, lines, seconds)


def whole_pages(s3: Any) -> tuple[int, int]:
    """Pages and lines, from the whole object each time."""
    offset = pages = lines = 0
    while True:
        text = gzip.decompress(s3.get_object(Bucket=PLACE.bucket, Key=PLACE.key)["Body"].read())
        chunk = text[offset : offset + WHOLE_PAGE]
        end = chunk.rfind(b"\n") + 1
        if not end:
            return pages, lines
        lines += len(chunk[:end].decode().split("\n")) - 1
        pages += 1
        offset += end


def reader_pages(s3: Any) -> tuple[int, int]:
    """Pages and lines, from the provider's reader."""
    logs, cursor, pages, lines = Logs(lambda: s3), None, 0, 0
    while True:
        page = logs.page(PLACE, cursor, lambda: True)
        if not page.lines:
            return pages, lines
        cursor = page.cursor
        pages += 1
        lines += len(page.lines)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 33)
