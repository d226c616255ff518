"""The drivers' logs in S3: compressed objects that the service replaces as they grow."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from airflow_ml_provider.backends.aws.errors import code_of, translated
from airflow_ml_provider.backends.aws.storage import ABSENT
from airflow_ml_provider.core.staging import Place
from airflow_ml_provider.core.state import LogPage

_GZIP = b"\x1f\x8b"
_PAGE = 256 * 1024


class Logs:
    """Read logs page by page.

    :param client: gives a boto3 client of S3.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    def page(self, place: Place, after: str | None, ended: Callable[[], bool]) -> LogPage:
        """Whole lines of a log.

        :param after: ``<bytes read>:<version>``; the version only where all of it has been read.
        :param ended: whether nobody writes any more, so that the last line may lack its end.
        """
        offset, _, version = (after or "0:").partition(":")
        try:
            with translated():
                data, version = self._log(place, version)
        except LookupError:
            return LogPage(cursor=after)
        start = int(offset)
        chunk = data[start : start + _PAGE]
        end = chunk.rfind(b"\n") + 1
        if end < len(chunk) and ((len(chunk) == _PAGE and not end) or (start + len(chunk) == len(data) and ended())):
            end = len(chunk)
        lines = chunk[:end].decode(errors="replace").split("\n")
        whole = start + end == len(data)
        return LogPage(tuple(lines if lines[-1] else lines[:-1]), cursor=f"{start + end}:{version if whole else ''}")

    def _log(self, place: Place, version: str) -> tuple[bytes, str]:
        """The whole log and its version. :class:`LookupError` when there is none, or none but the known version."""
        unknown = {"IfNoneMatch": version} if version else {}
        try:
            found = self._client().get_object(Bucket=place.bucket, Key=place.key, **unknown)
        except ClientError as error:
            if code_of(error) in (*ABSENT, "304", "NotModified"):
                raise LookupError from None
            raise
        return _unpacked(found["Body"].read()), found["ETag"]


def _unpacked(data: bytes) -> bytes:
    """What a gzip file of one or more members holds so far: the service may be writing it."""
    unpacked = b""
    while data[:2] == _GZIP:
        member = zlib.decompressobj(wbits=31)
        unpacked += member.decompress(data)
        data = member.unused_data
    return unpacked + data
