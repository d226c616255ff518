"""Drivers' logs in S3: gzip objects that the service replaces by a longer version as the log grows.

A version (ETag) is downloaded and decompressed once, in ranges, however many pages it is read in: a :class:`_Reader` keeps the position
of the decompressor, about 50 KB, between two pages. Readers are a cache: without one, the version is read again up to the cursor.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from airflow_ml_provider.backends.aws.errors import code_of, translated
from airflow_ml_provider.backends.aws.storage import ABSENT
from airflow_ml_provider.core.errors import AccessDenied, ServiceError, Unavailable
from airflow_ml_provider.core.staging import Place
from airflow_ml_provider.core.state import LogPage

_GZIP = b"\x1f\x8b"
_PAGE = 1 << 20
"""Decompressed bytes of a page."""
_RANGE = 128 << 10
"""Compressed bytes of a request at most: about what a page needs, as logs compress to a tenth."""
_SHORT_RANGE = 4 << 10
_LONG_RANGE = 4 << 20
"""The same while a reader looks for the cursor in a new version."""
_LONGEST_LINE = 64 << 10
"""Bytes of an incomplete line that wait for the line's end; a longer one is returned in parts."""
_READERS = 256
_TRIES = 3
_UNCHANGED = ("304", "NotModified")
_REPLACED = ("412", "PreconditionFailed", "416", "InvalidRange")
_CURSOR = re.compile(r"(?P<offset>\d+):(?:(?P<crc>[0-9a-f]{8}):)?(?P<etag>.*)", re.DOTALL)


class _Cursor(NamedTuple):
    """How much of a log has been read.

    :param offset: decompressed bytes.
    :param crc: CRC-32 of these bytes: shows whether a new version begins with them. None: not known.
    :param etag: the version, where all of it has been read.
    """

    offset: int = 0
    crc: int | None = 0
    etag: str = ""

    @classmethod
    def parse(cls, text: str | None) -> _Cursor:
        found = _CURSOR.fullmatch(text or "")
        if found is None:
            return cls()
        return cls(int(found["offset"]), int(found["crc"], 16) if found["crc"] else None, found["etag"])

    def __str__(self) -> str:
        return f"{self.offset}:{self.crc or 0:08x}:{self.etag}"


@dataclass
class _Reader:
    """A position in one version of a log.

    :param size: compressed bytes of the version.
    :param fetched: compressed bytes that are decompressed.
    :param offset: decompressed bytes that have been taken.
    :param crc: CRC-32 of the bytes that have been taken.
    :param rest: decompressed bytes that have not been taken.
    :param error: why the version cannot be read further.
    :param plain: the object is not compressed.
    """

    etag: str
    size: int
    fetched: int = 0
    offset: int = 0
    crc: int = 0
    rest: bytearray = field(default_factory=bytearray)
    error: str = ""
    plain: bool = False
    _member: Any = None
    _pending: bool = False

    @property
    def at_end(self) -> bool:
        """Whether nothing is left to decompress."""
        return bool(self.error) or (self.fetched >= self.size and not self._pending)

    @property
    def full(self) -> bool:
        """Whether ``rest`` has the size of a page."""
        return len(self.rest) >= _PAGE

    @property
    def length_of_page(self) -> int:
        """Compressed bytes that a page probably needs, by what was decompressed before."""
        decompressed = self.offset + len(self.rest)
        if not decompressed:
            return _RANGE
        return min(_RANGE, _SHORT_RANGE + self.fetched * (_PAGE - len(self.rest)) // decompressed)

    def feed(self, data: bytes) -> bytes:
        """Decompress what follows the bytes that were fetched, until ``rest`` is full, and return what is left of the data."""
        if self.fetched == 0 and data[:2] != _GZIP:
            self.plain = True
        while (data or self._pending) and not self.full and not self.error:
            try:
                left = self._decompress(data)
            except zlib.error as error:
                self.error = f"is not valid gzip after {self.fetched} of {self.size} bytes: {error}"
                return b""
            self.fetched += len(data) - len(left)
            data = left
        return data

    def skip(self, data: bytes, offset: int) -> None:
        """Decompress the data, and drop what lies before the offset."""
        while True:
            data = self.feed(data)
            self.take(offset - self.offset)
            if self.offset == offset or not (data or self._pending) or self.error:
                return

    def take(self, count: int) -> bytes:
        """The next decompressed bytes, at most so many."""
        taken = bytes(self.rest[:count])
        del self.rest[:count]
        self.offset += len(taken)
        self.crc = zlib.crc32(taken, self.crc)
        return taken

    def _decompress(self, data: bytes) -> bytes:
        """Decompress some of the data, and return what is left of it. A file may have several members, with zeros after each."""
        room = _PAGE - len(self.rest)
        if self.plain:
            self.rest += data[:room]
            return data[room:]
        if self._member is None:
            data = data.lstrip(b"\0")
            self._member = zlib.decompressobj(wbits=31)
        before = len(self.rest)
        self.rest += self._member.decompress(data, room)
        if self._member.eof:
            left: bytes = self._member.unused_data
            self._member, self._pending = None, False
            return left
        # Having consumed all its input, zlib may still hold output for which there was no room.
        self._pending = len(self.rest) - before == room
        return bytes(self._member.unconsumed_tail)


class Logs:
    """Read logs page by page.

    :param client: gives a boto3 client of S3.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        self._readers: OrderedDict[Place, _Reader] = OrderedDict()
        self._lock = threading.Lock()

    def page(self, place: Place, after: str | None, ended: Callable[[], bool]) -> LogPage:
        """Whole lines of a log; an empty page when it does not exist or has no new lines.

        A version that does not begin with the bytes that were read is another log, which is read from its beginning.

        :param after: the cursor of the page before.
        :param ended: whether nobody writes to the log any more: then the last line may lack its end.
        :raises AccessDenied: the log may not be read; where listing is denied, S3 denies also a log that does not exist yet.
        :raises ServiceError: the object is not a gzip file.
        """
        cursor = _Cursor.parse(after)
        for _ in range(_TRIES):
            try:
                reader = self._reader_at(place, cursor)
                if reader is None:
                    return LogPage(cursor=after)
                self._fill(place, reader)
            except _Replaced:
                continue
            except AccessDenied as error:
                raise AccessDenied(f"{error}, or s3:ListBucket if {place} does not exist yet") from error
            return self._page_of(place, reader, ended)
        raise Unavailable(f"{place}: the log was replaced {_TRIES} times while it was read")

    def _page_of(self, place: Place, reader: _Reader, ended: Callable[[], bool]) -> LogPage:
        end = reader.rest.rfind(b"\n") + 1
        incomplete = len(reader.rest) - end
        if incomplete > _LONGEST_LINE or (incomplete and reader.at_end and not reader.error and ended()):
            end = len(reader.rest)
        lines = reader.take(end).decode(errors="replace").split("\n")
        if not reader.error:
            self._keep(place, reader)
        elif not end:
            raise ServiceError(f"{place}: the log {reader.error}")
        whole = reader.at_end and not reader.rest and not reader.error
        cursor = _Cursor(reader.offset, reader.crc, reader.etag if whole else "")
        return LogPage(tuple(lines if lines[-1] else lines[:-1]), cursor=str(cursor))

    def _reader_at(self, place: Place, cursor: _Cursor) -> _Reader | None:
        """A reader whose next byte is the cursor's; None when there is no log, or no more of it than was read."""
        with self._lock:
            kept = self._readers.pop(place, None)
        if kept and kept.offset != cursor.offset:
            kept = None
        if kept and not kept.at_end:
            return kept
        known = kept.etag if kept else cursor.etag
        try:
            data, reader = self._open(place, known, _LONG_RANGE if cursor.offset else _RANGE)
        except _Unchanged:
            return kept
        except LookupError:
            return None
        return self._at(place, reader, data, cursor)

    def _open(self, place: Place, known: str, length: int) -> tuple[bytes, _Reader]:
        """The first bytes of a version other than the known one."""
        condition = {"IfNoneMatch": known} if known else {}
        data, answer = self._get(place, 0, length, condition)
        _, _, size = answer.get("ContentRange", "").rpartition("/")
        return data, _Reader(answer["ETag"], int(size or len(data)))

    def _at(self, place: Place, reader: _Reader, data: bytes, cursor: _Cursor) -> _Reader:
        """The new reader at the cursor, or at the beginning if the version does not begin with what was read."""
        reader.skip(data, cursor.offset)
        while reader.offset < cursor.offset and not reader.at_end:
            reader.skip(self._next(place, reader, _LONG_RANGE), cursor.offset)
        if reader.offset == cursor.offset and cursor.crc in (None, reader.crc):
            return reader
        again = _Reader(reader.etag, reader.size)
        again.feed(data)
        return again

    def _fill(self, place: Place, reader: _Reader) -> None:
        """Fetch until the reader has a page, or has everything."""
        while not reader.full and not reader.at_end:
            reader.feed(self._next(place, reader, reader.length_of_page))

    def _next(self, place: Place, reader: _Reader, length: int) -> bytes:
        if reader.fetched >= reader.size:
            return b""
        return self._get(place, reader.fetched, length, {"IfMatch": reader.etag})[0]

    def _get(self, place: Place, start: int, length: int, condition: Mapping[str, str]) -> tuple[bytes, Mapping[str, Any]]:
        """A range of the object."""
        asked = {"Range": f"bytes={start}-{start + length - 1}", **condition}
        with translated():
            try:
                answer = self._client().get_object(Bucket=place.bucket, Key=place.key, **asked)
            except ClientError as error:
                code = code_of(error)
                if code in _UNCHANGED:
                    raise _Unchanged from None
                # An empty object has no first byte either.
                if code in ABSENT or (code in _REPLACED and start == 0):
                    raise LookupError from None
                if code in _REPLACED:
                    raise _Replaced from None
                raise
            return answer["Body"].read(), answer

    def _keep(self, place: Place, reader: _Reader) -> None:
        with self._lock:
            self._readers[place] = reader
            while len(self._readers) > _READERS:
                self._readers.popitem(last=False)


class _Unchanged(Exception):
    """The object is the version that is known."""


class _Replaced(Exception):
    """The object is another version than the one that is being read."""
