"""The staging area in S3: small files, and claims that only one asker gets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from airflow_ml_provider.backends.aws.errors import code_of, translated
from airflow_ml_provider.core.errors import Unavailable
from airflow_ml_provider.core.staging import Place, content_name

_CLAIM = timedelta(seconds=30)
"""How long a claim keeps others away: longer than the calls that it protects take."""
ABSENT = ("NoSuchKey", "404", "NoSuchBucket")
"""The codes of an object that does not exist."""
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
        place = folder / content_name(hashlib.sha256(data).hexdigest(), name)
        self._write_new(place, data)
        return place

    def upload_file(self, folder: Place, path: Path) -> Place:
        """Store a large file by its content, once: what lies there already is not sent again."""
        with path.open("rb") as file:
            place = folder / content_name(hashlib.file_digest(file, "sha256").hexdigest(), path.name)
            if not self._is_there(place):
                file.seek(0)
                self._write_new(place, file)
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

    def _get(self, place: Place) -> bytes:
        try:
            return bytes(self._client().get_object(Bucket=place.bucket, Key=place.key)["Body"].read())
        except ClientError as error:
            if code_of(error) in ABSENT:
                raise LookupError from None
            raise

    def _is_there(self, place: Place) -> bool:
        """False also for an object that is missing where the credentials may not list: S3 denies it then."""
        with translated():
            try:
                self._client().head_object(Bucket=place.bucket, Key=place.key)
            except ClientError as error:
                if code_of(error) in (*ABSENT, "403"):
                    return False
                raise
        return True

    def _write_new(self, place: Place, data: bytes | BinaryIO) -> bool:
        """False when there is an object already."""
        with translated():
            try:
                self._client().put_object(Bucket=place.bucket, Key=place.key, Body=data, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) in _THERE:
                    return False
                raise
        return True


def _server_time(answer: Mapping[str, Any]) -> datetime:
    """The server's own clock, so that a wrong one here counts for nothing."""
    from email.utils import parsedate_to_datetime

    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(told) if told else datetime.now(tz=UTC)
