"""The staging area in S3: small files, by conditional writes where only one writer may win."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from airflow_ml_provider.backends.aws.errors import code_of, member, translated
from airflow_ml_provider.core.errors import AccessDenied, ServiceError, Unavailable
from airflow_ml_provider.core.staging import Place, content_name

ABSENT = ("NoSuchKey", "NoSuchBucket")
"""The codes of an object that does not exist. A bare status is the answer of something between, but for HEAD."""
_NOT_MET = ("PreconditionFailed", "NoSuchKey")
"""The codes of a conditional write whose condition does not hold."""


class Damaged(ServiceError):
    """An object of the staging area that somebody else has changed."""


class Object(NamedTuple):
    """An object as it is now.

    :param version: its ETag.
    :param age: since it was written, by the server's own clock.
    """

    data: bytes
    version: str
    age: timedelta


class Store:
    """Objects by place. Every call is safe to repeat.

    :param client: gives a boto3 client of S3.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    def look(self, place: Place) -> Object | None:
        """The object; None when it does not exist."""
        with translated():
            try:
                answer = self._client().get_object(Bucket=place.bucket, Key=place.key)
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
            data = bytes(member(answer, "Body").read())
        return Object(data, str(member(answer, "ETag")), _age(answer))

    def read(self, place: Place) -> bytes | None:
        """The object's content; None when it does not exist."""
        found = self.look(place)
        return found.data if found else None

    def read_json(self, place: Place) -> dict[str, Any] | None:
        """The object's content, a JSON object; None when it does not exist.

        :raises Damaged: its content is another one.
        """
        data = self.read(place)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except ValueError as error:
            raise Damaged(f"{place} is damaged: its content is not valid JSON") from error
        if not isinstance(value, dict):
            raise Damaged(f"{place} is damaged: its content is not a JSON object")
        return value

    def write(self, place: Place, data: bytes) -> None:
        """Store the object, in the place of an older one."""
        with translated():
            member(self._client().put_object(Bucket=place.bucket, Key=place.key, Body=data), "ETag")

    def write_json(self, place: Place, value: Any) -> None:
        """Store a JSON value."""
        self.write(place, json.dumps(value).encode())

    def upload(self, folder: Place, data: bytes, name: str) -> Place:
        """Store a file by its content, once."""
        place = folder / content_name(hashlib.sha256(data).hexdigest(), name)
        self.write_if_absent(place, data)
        return place

    def upload_file(self, folder: Place, path: Path) -> Place:
        """Store a large file by its content, once: what lies there already is not sent again."""
        with path.open("rb") as file:
            place = folder / content_name(hashlib.file_digest(file, "sha256").hexdigest(), path.name)
            if not self._is_there(place):
                file.seek(0)
                self.write_if_absent(place, file)
        return place

    def write_if_absent(self, place: Place, data: bytes | BinaryIO) -> str | None:
        """Store an object that does not exist yet, and return its version; None when one exists."""
        return self._write_if(place, data, IfNoneMatch="*")

    def write_if_match(self, place: Place, data: bytes, version: str) -> str | None:
        """Replace this version of an object, and return the new one; None when it is not the current one."""
        return self._write_if(place, data, IfMatch=version)

    def delete(self, place: Place) -> None:
        """Delete an object. Nothing happens when it does not exist."""
        with translated():
            self._client().delete_object(Bucket=place.bucket, Key=place.key)

    def remove(self, folder: Place) -> None:
        """Remove everything in a folder. It is listed until nothing is left: an answer may have been another's than S3's."""
        before: list[dict[str, str]] = []
        with translated():
            client = self._client()
            while keys := self._keys(client, folder):
                if keys == before:
                    raise Unavailable(f"{folder}: DeleteObjects deleted nothing")
                deleted = client.delete_objects(Bucket=folder.bucket, Delete={"Objects": keys, "Quiet": True})
                _insist_on_no_errors(folder, deleted.get("Errors", ()))
                before = keys

    def _keys(self, client: Any, folder: Place) -> list[dict[str, str]]:
        """The first objects of a folder, as many as one call lists."""
        page = client.list_objects_v2(Bucket=folder.bucket, Prefix=f"{folder.key}/")
        member(page, "IsTruncated")
        return [{"Key": member(item, "Key")} for item in page.get("Contents", ())]

    def _is_there(self, place: Place) -> bool:
        """False also for an object that is missing where the credentials may not list: S3 denies it then."""
        with translated():
            try:
                member(self._client().head_object(Bucket=place.bucket, Key=place.key), "ETag")
            except ClientError as error:
                if code_of(error) in ("404", "403"):
                    return False
                raise
        return True

    def _write_if(self, place: Place, data: bytes | BinaryIO, **condition: str) -> str | None:
        with translated():
            try:
                return str(member(self._client().put_object(Bucket=place.bucket, Key=place.key, Body=data, **condition), "ETag"))
            except ClientError as error:
                if code_of(error) in _NOT_MET:
                    return None
                raise


def _insist_on_no_errors(folder: Place, errors: Sequence[Mapping[str, Any]]) -> None:
    """Raise for objects that were not deleted: S3 tells of them in an answer that is otherwise good."""
    for error in errors:
        code = str(error.get("Code"))
        text = f"DeleteObjects: {code}: {folder.scheme}://{folder.bucket}/{error.get('Key')}: {error.get('Message')}"
        if code == "AccessDenied":
            raise AccessDenied(f"{text}. Grant s3:DeleteObject to whoever credentials_conn_id signs in as")
        raise Unavailable(text)


def _age(answer: Mapping[str, Any]) -> timedelta:
    """How long ago an object was written, by the server's own clock: a wrong one here counts for nothing."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    now = parsedate_to_datetime(date) if date else datetime.now(tz=UTC)
    written: datetime = member(answer, "LastModified")
    return now - written
