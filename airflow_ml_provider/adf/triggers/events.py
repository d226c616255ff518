"""What events start a pipeline: blobs that are written or deleted, and events that others send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CREATED, DELETED = "Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted"
"""What happens to a blob, as Azure's Event Grid calls it."""


@dataclass(frozen=True)
class Blobs:
    """A blob is written or deleted.

    :param scope: the storage account's resource id.
    :param begins: ``/container/blobs/folder/…`` or less of it; empty for the whole account.
    :param ends: how the path ends.
    :param ignore_empty: empty blobs do not count.
    :param types: what happens to it that counts.
    """

    scope: str
    begins: str
    ends: str
    ignore_empty: bool
    types: tuple[str, ...] = (CREATED,)

    def __str__(self) -> str:
        what = " or ".join(word for kind, word in ((CREATED, "written"), (DELETED, "deleted")) if kind in self.types)
        return f"each blob that is {what} in {self.account} below {self.prefix or 'its root'}{f', ending in {self.ends}' if self.ends else ''}"

    @property
    def account(self) -> str:
        return self.scope.rpartition("/")[2]

    @property
    def prefix(self) -> str:
        """The beginning of the path below the account: ``container/folder/…``."""
        container, slash, path = self.begins.strip().lstrip("/").partition("/")
        inside = path.removeprefix("blobs").lstrip("/") if path.startswith("blobs") else path
        return f"{container}{slash}{inside}"


@dataclass(frozen=True)
class Events:
    """Somebody sends an event of the Event Grid: ``{"subject": …, "eventType": …, "data": …}``.

    :param scope: the topic's resource id.
    :param types: that count; all when there are none.
    """

    scope: str
    types: tuple[str, ...]
    begins: str
    ends: str

    def __str__(self) -> str:
        return f"each event of {self.topic} ({', '.join(self.types) or 'any type'})"

    @property
    def topic(self) -> str:
        return self.scope.rpartition("/")[2]

    def takes(self, event: Mapping[str, Any]) -> bool:
        """Whether an event counts. Its subject is compared without regard to case, as the Event Grid does."""
        subject = str(event.get("subject") or "").casefold()
        typed = not self.types or event.get("eventType") in self.types
        return typed and subject.startswith(self.begins.casefold()) and subject.endswith(self.ends.casefold())
