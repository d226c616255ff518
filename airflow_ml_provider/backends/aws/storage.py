"""The staging area in S3: small files, claims that only one asker gets, and the drivers' logs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from airflow_ml_provider.backends.aws.errors import code_of, translated
from airflow_ml_provider.core.errors import Unavailable
from airflow_ml_provider.core.staging import Place, content_name
from airflow_ml_provider.core.state import LogPage

_CLAIM = timedelta(seconds=30)
"""How long a claim keeps others away: longer than the calls that it protects take."""
_GZIP = b"\x1f\x8b"
_PAGE = 256 * 1024
_ABSENT = ("NoSuchKey", "404", "NoSuchBucket")
_THERE = ("PreconditionFailed", "412")


class Store:
    """Objects by place. Every call is safe to repeat.

    :param client: gives a boto3 client of S3.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    def read(self, place: Place) -> bytes | None:
        """The object's content; None when there is none."""
        try:
            with translated():
                return self._get(place)
        except LookupError:
            return None

    def read_json(self, place: Place) -> Any:
        """The object's JSON value; None when there is none."""
        data = self.read(place)
        return None if data is None else json.loads(data)

    def write(self, place: Place, data: bytes) -> None:
        """Store the object, in the place of an older one."""
        with translated():
            self._client().put_object(Bucket=place.bucket, Key=place.key, Body=data)

    def write_json(self, place: Place, value: Any) -> None:
        """Store a JSON value."""
        self.write(place, json.dumps(value).encode())

    def upload(self, folder: Place, data: bytes, name: str) -> Place:
        """Store a file by its content, once."""
        place = folder / content_name(data, name)
        self._write_new(place, data)
        return place

    def claim(self, place: Place) -> None:
        """Go on as the only one who does; :class:`Unavailable` while another asker may still be at work on the same thing.

        Whoever finds a claim that is older than the work could take follows on: its owner has died.
        """
        if self._write_new(place, b""):
            return
        with translated():
            found = self._client().head_object(Bucket=place.bucket, Key=place.key)
        if _server_time(found) - found["LastModified"] < _CLAIM:
            raise Unavailable(f"{place}: another attempt at the same work is asking the service now")
        self.write(place, b"")

    def release(self, place: Place) -> None:
        """Give a claim back, so that the next attempt need not wait."""
        with translated():
            self._client().delete_object(Bucket=place.bucket, Key=place.key)

    def remove(self, folder: Place) -> None:
        """Remove everything in a folder."""
        with translated():
            client = self._client()
            more: dict[str, Any] = {}
            while True:
                page = client.list_objects_v2(Bucket=folder.bucket, Prefix=f"{folder.key}/", **more)
                if keys := [{"Key": item["Key"]} for item in page.get("Contents", ())]:
                    client.delete_objects(Bucket=folder.bucket, Delete={"Objects": keys, "Quiet": True})
                if not page.get("IsTruncated"):
                    return
                more = {"ContinuationToken": page["NextContinuationToken"]}

    def log_page(self, place: Place, after: str | None, ended: Callable[[], bool]) -> LogPage:
        """Whole lines of a compressed log that the service replaces as it grows.

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
            if code_of(error) in (*_ABSENT, "304", "NotModified"):
                raise LookupError from None
            raise
        return _unpacked(found["Body"].read()), found["ETag"]

    def _get(self, place: Place) -> bytes:
        try:
            return bytes(self._client().get_object(Bucket=place.bucket, Key=place.key)["Body"].read())
        except ClientError as error:
            if code_of(error) in _ABSENT:
                raise LookupError from None
            raise

    def _write_new(self, place: Place, data: bytes) -> bool:
        """False when there is an object already."""
        with translated():
            try:
                self._client().put_object(Bucket=place.bucket, Key=place.key, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) in _THERE:
                    return False
                raise
        return True


def _unpacked(data: bytes) -> bytes:
    """What a gzip file of one or more members holds so far: the service may be writing it."""
    unpacked = b""
    while data[:2] == _GZIP:
        member = zlib.decompressobj(wbits=31)
        unpacked += member.decompress(data)
        data = member.unused_data
    return unpacked + data


def _server_time(answer: Mapping[str, Any]) -> datetime:
    """The server's own clock, so that a wrong one here counts for nothing."""
    from email.utils import parsedate_to_datetime

    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(told) if told else datetime.now(tz=UTC)
