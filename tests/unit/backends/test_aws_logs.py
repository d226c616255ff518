"""Logs in S3, on moto's: each version is downloaded and decompressed once, in pages of whole lines, whatever the object looks like."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from airflow_ml_provider.backends.aws import logs
from airflow_ml_provider.backends.aws.logs import Logs
from airflow_ml_provider.core.errors import ServiceError
from airflow_ml_provider.core.staging import Place

PLACE = Place("s3", "a-bucket", "steps/stdout.gz")
LINE = "line %08d of the driver's log, with some words that make it longer than it must be"


class Bucket:
    """A bucket, and what is read of it."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        self.reads: list[int] = []
        self.s3.meta.events.register("after-call.s3.GetObject", self._note)

    def _note(self, parsed: dict[str, Any], **_: Any) -> None:
        self.reads.append(parsed.get("ContentLength", 0) if "Body" in parsed else 0)

    def put(self, data: bytes) -> None:
        self.s3.put_object(Bucket=PLACE.bucket, Key=PLACE.key, Body=data)

    def logs(self) -> Logs:
        return Logs(lambda: self.s3)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        client.create_bucket(Bucket=PLACE.bucket)
        yield client


@pytest.fixture
def bucket(s3: Any) -> Iterator[Bucket]:
    found = Bucket(s3)
    yield found
    s3.meta.events.unregister("after-call.s3.GetObject", found._note)
    s3.delete_object(Bucket=PLACE.bucket, Key=PLACE.key)


def text(count: int, start: int = 0) -> bytes:
    return b"".join(b"%s\n" % (LINE % number).encode() for number in range(start, start + count))


def read(found: Logs, after: str | None = None, *, ended: bool = False) -> tuple[list[str], str | None, int]:
    """All lines after a cursor, the last cursor, and the number of pages with lines."""
    lines: list[str] = []
    for pages in range(10_000):
        page = found.page(PLACE, after, lambda: ended)
        after = page.cursor
        if not page.lines:
            return lines, after, pages
        lines += page.lines
    raise AssertionError("the log has no end")


def expected(count: int) -> list[str]:
    return [LINE % number for number in range(count)]


def test_a_long_log_is_downloaded_once(bucket: Bucket) -> None:
    whole = gzip.compress(text(60_000), 1)
    bucket.put(whole)
    lines, _, pages = read(bucket.logs())
    assert lines == expected(60_000)
    assert pages <= 6
    assert sum(bucket.reads) < 2 * len(whole)  # pages begin within ranges, whose ends are read again
    assert max(bucket.reads) <= logs._RANGE


def test_a_log_that_has_not_changed_is_not_downloaded_again(bucket: Bucket) -> None:
    bucket.put(gzip.compress(text(10) + b"and half a line"))
    found = bucket.logs()
    lines, cursor, _ = read(found)
    assert lines == expected(10)
    bucket.reads.clear()
    assert [read(found, cursor)[0] for _ in range(3)] == [[], [], []]
    assert bucket.reads == [0, 0, 0]
    assert read(found, cursor, ended=True)[0] == ["and half a line"]


def test_a_log_goes_on_where_another_process_left_it(bucket: Bucket) -> None:
    bucket.put(gzip.compress(text(30_000)))
    first = bucket.logs().page(PLACE, None, lambda: False)
    bucket.put(gzip.compress(text(40_000)))
    lines, cursor, _ = read(bucket.logs(), first.cursor)
    assert [*first.lines, *lines] == expected(40_000)
    bucket.reads.clear()
    assert read(bucket.logs(), cursor)[0] == []
    assert bucket.reads == [0]


def test_a_log_that_grows_is_read_on(bucket: Bucket) -> None:
    found, cursor, lines = bucket.logs(), None, []
    for count in (0, 1, 20_000, 20_000, 50_000):
        bucket.put(gzip.compress(text(count)))
        more, cursor, _ = read(found, cursor)
        lines += more
        assert lines == expected(count)


def test_a_version_that_is_replaced_between_two_pages(bucket: Bucket) -> None:
    bucket.put(gzip.compress(text(40_000)))
    found = bucket.logs()
    first = found.page(PLACE, None, lambda: False)
    bucket.put(gzip.compress(text(50_000)))
    assert [*first.lines, *read(found, first.cursor)[0]] == expected(50_000)


@pytest.mark.parametrize("other", [b"another log\n", b"another log\n" * 9_000])
def test_a_version_with_another_beginning_is_another_log(bucket: Bucket, other: bytes) -> None:
    bucket.put(gzip.compress(text(1_000)))
    found = bucket.logs()
    _, cursor, _ = read(found)
    bucket.put(gzip.compress(other))
    assert read(found, cursor)[0] == other.decode().splitlines()


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gzip", "plain"])
def test_only_whole_lines_are_returned(bucket: Bucket, pack: Any) -> None:
    found, cursor, lines = bucket.logs(), None, []
    for data, ended in ((b"on", False), (b"one\ntw", False), (b"one\ntwo\nthr", False), (b"one\ntwo\nthree", True)):
        bucket.put(pack(data))
        more, cursor, _ = read(found, cursor, ended=ended)
        lines.append(more)
    assert lines == [[], ["one"], ["two"], ["three"]]


def test_a_line_without_an_end_takes_no_memory_without_an_end(bucket: Bucket) -> None:
    bucket.put(gzip.compress(b"x" * 5_000_000 + b"\nlast\n"))
    found = bucket.logs()
    lines, _, _ = read(found)
    assert "".join(lines) == "x" * 5_000_000 + "last"
    assert len(found._readers[PLACE].rest) <= logs._LONGEST_LINE


def test_members_and_padding_are_one_log(bucket: Bucket) -> None:
    parts = [text(500, start) for start in range(0, 2_000, 500)]
    bucket.put(b"\0\0".join(gzip.compress(part) for part in parts) + b"\0" * 512)
    assert read(bucket.logs())[0] == expected(2_000)


def test_what_zlib_still_holds_is_not_lost(bucket: Bucket) -> None:
    """A log that compresses to a thousandth: zlib consumes all its input long before its output ends."""
    bucket.put(gzip.compress(b"the same line\n" * 400_000, 9))
    assert len(read(bucket.logs())[0]) == 400_000


@pytest.mark.parametrize("data", [b"", gzip.compress(b"")], ids=["nothing", "an empty member"])
def test_an_empty_log_has_no_lines(bucket: Bucket, data: bytes) -> None:
    bucket.put(data)
    assert read(bucket.logs())[0] == []


def test_a_missing_log_has_no_lines(bucket: Bucket) -> None:
    assert read(bucket.logs()) == ([], None, 0)
    assert read(bucket.logs(), "7:00000000:etag") == ([], "7:00000000:etag", 0)


def test_a_truncated_log_ends_with_its_last_byte(bucket: Bucket) -> None:
    whole = gzip.compress(text(1_000))
    bucket.put(whole[: len(whole) // 2])
    lines, cursor, _ = read(bucket.logs(), ended=True)
    assert lines[:100] == expected(100)
    bucket.put(whole)
    more, _, _ = read(bucket.logs(), cursor)
    assert len(lines) - 1 <= len(expected(1_000)) - len(more) <= len(lines)


@pytest.mark.parametrize(
    ("data", "readable"),
    [(b"\x1f\x8b\x08\x00garbage-garbage", []), (gzip.compress(b"a\n") + b"garbage", ["a"])],
    ids=["in the first member", "after it"],
)
def test_a_corrupt_log_is_a_service_error_until_it_is_replaced(bucket: Bucket, data: bytes, readable: list[str]) -> None:
    bucket.put(data)
    found, cursor = bucket.logs(), None
    if readable:
        page = found.page(PLACE, None, lambda: False)
        assert [*page.lines] == readable
        cursor = page.cursor
    for _ in range(2):
        with pytest.raises(
            ServiceError, match=r"s3://a-bucket/steps/stdout.gz: the log is not valid gzip after \d+ of \d+ bytes"
        ):
            found.page(PLACE, cursor, lambda: False)
    bucket.put(gzip.compress(b"a\nb\n"))
    assert [*readable, *read(found, cursor)[0]] == ["a", "b"]


def test_a_bucket_that_may_not_be_read_is_a_core_error(bucket: Bucket) -> None:
    bucket.put(b"secret\n")
    from botocore.stub import Stubber

    with Stubber(bucket.s3) as stub:
        stub.add_client_error("get_object", "AccessDenied", http_status_code=403)
        with pytest.raises(
            ServiceError, match=r"Grant s3:GetObject to .*, or s3:ListBucket if s3://a-bucket/steps/stdout.gz does not"
        ):
            bucket.logs().page(PLACE, None, lambda: False)


def test_few_readers_are_kept(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_READERS", 3)
    found = bucket.logs()
    for number in range(5):
        bucket.s3.put_object(Bucket=PLACE.bucket, Key=f"log{number}", Body=gzip.compress(b"a\n"))
        found.page(Place("s3", PLACE.bucket, f"log{number}"), None, lambda: False)
    assert len(found._readers) == 3


def test_cursors_of_earlier_versions_are_read(bucket: Bucket) -> None:
    bucket.put(gzip.compress(b"one\ntwo\n"))
    assert read(bucket.logs(), "4:")[0] == ["two"]
    assert read(bucket.logs(), '4:"an-etag"')[0] == ["two"]


def test_the_checksum_in_a_cursor_is_that_of_what_was_read(bucket: Bucket) -> None:
    bucket.put(gzip.compress(text(1)))
    cursor = bucket.logs().page(PLACE, None, lambda: False).cursor
    assert cursor
    assert cursor.startswith(f"{len(text(1))}:{zlib.crc32(text(1)):08x}:")
