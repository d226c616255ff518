"""Make a non-idempotent call exactly once, guarded by a claim in the staging bucket.

The protocol. An asker looks for the id that an earlier asker noted, then for the work at the service. Only when both are missing, it
writes a *claim* with ``If-None-Match: *`` and an owner's id in it, makes the call, and notes the id. A claim that is younger than its
lifetime keeps every other asker away. An older one is taken over with ``If-Match`` on its ETag, which exactly one follower can do; the
follower then looks for the work again before it asks, because the claim's owner may have asked after the follower's first look. The
lifetime is longer than all that can pass between the claim and the moment when every list of the service shows the work: the
owner's way to the call (an owner that was stopped on this way gives up), the call itself (its client's timeouts; this client repeats
no call), and the time that the service may take to show new work. So whoever takes over a claim can see the work, if there is any. An
asker that knows that the service has not done the work (it said no, or the call never left) marks its claim as released. When it does
not know (the answer was lost, or the service failed), the claim stays. S3 is strongly consistent, also for conditional writes; a write
whose answer is lost is read back and recognised by its owner.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from airflow_ml_provider.backends.aws.errors import surely_not_done
from airflow_ml_provider.backends.aws.storage import Damaged, Store
from airflow_ml_provider.core.errors import ProviderError, Unavailable
from airflow_ml_provider.core.staging import Place

SETTLES = timedelta(minutes=5)
"""How long a service may take until it shows new work in every answer."""
_WAY = timedelta(seconds=30)
"""How long an owner may take from its claim to the call."""
_RELEASED = b"released"
_ID = re.compile(r"[A-Za-z0-9-]+")


def lifetime(client: Any) -> timedelta:
    """How long a claim keeps others away that protects one call of a boto3 client.

    :raises AssertionError: the client repeats calls by itself.
    """
    config = client.meta.config
    assert config.retries.get("total_max_attempts") == 1, "a call that is not idempotent takes a client that never repeats"
    return _WAY + timedelta(seconds=config.connect_timeout + config.read_timeout) + SETTLES


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do a piece of work.

    :param version: its ETag.
    :param is_new: nobody has ever asked for the work before.
    :param taken: when its owner began to write it, by the monotonic clock.
    """

    place: Place
    version: str
    is_new: bool
    taken: float


def is_held(store: Store, place: Place, lasts: timedelta) -> bool:
    """Whether a claim keeps others away now."""
    found = store.look(place)
    return found is not None and found.data != _RELEASED and found.age < lasts


def take(store: Store, place: Place, lasts: timedelta) -> Claim:
    """Go on as the only asker who does.

    :param lasts: the age from which a claim may be taken over.
    :raises Unavailable: another asker may be at work on the same thing.
    """
    began, mine = time.monotonic(), uuid.uuid4().hex.encode()
    if version := _written(store, place, mine, lambda: store.write_if_absent(place, mine)):
        return Claim(place, version, is_new=True, taken=began)
    found = store.look(place)
    if found and (found.data == _RELEASED or found.age >= lasts):
        before = found.version
        if version := _written(store, place, mine, lambda: store.write_if_match(place, mine, before)):
            return Claim(place, version, is_new=False, taken=began)
    raise Unavailable(f"{place}: another attempt at the same work has asked the service, which does not show the work yet")


def release(store: Store, claim: Claim) -> None:
    """Give a claim back, so that the next asker need not wait. Nothing happens when another one has taken it over."""
    store.write_if_match(claim.place, _RELEASED, claim.version)


def once(
    store: Store,
    folder: Place,
    ids: Place,
    *,
    find: Callable[[], str | None],
    stage: Callable[[], None],
    ask: Callable[[], str],
    lasts: timedelta | None,
) -> str:
    """The id of a piece of work: as it was noted, as the service knows it, or of new work.

    :param folder: of the work, for its claim and its id. Its name is the work's token.
    :param ids: the folder of one note for each id that the service gave, which tells the id's age: see :func:`token_of_new`.
    :param find: looks for the work at the service.
    :param stage: prepares new work. May be repeated.
    :param ask: makes the call, and returns the new id.
    :param lasts: the claim's lifetime; None for work that a token of the service's own makes idempotent, and that needs no claim.
    :raises Unavailable: another process may be asking for it now.
    """
    with _lock_of(folder):
        if found := _noted(store, folder) or find():
            return found
        if lasts is None:
            stage()
            return _note(store, folder, ids, ask())
        if is_held(store, folder / "claim", lasts):
            raise Unavailable(f"{folder}: another attempt has asked the service for it, which does not show it yet")
        stage()
        claim = take(store, folder / "claim", lasts)
        if not claim.is_new and (found := _noted(store, folder) or find()):
            return found
        return _note(store, folder, ids, _ask(store, claim, ask))


def _ask(store: Store, claim: Claim, ask: Callable[[], str]) -> str:
    """Make the call under a claim, which is released when the call has surely not done the work."""
    late = time.monotonic() - claim.taken > _WAY.total_seconds()
    try:
        if late:
            raise Unavailable(f"{claim.place}: this process was stopped for too long before it asked the service")
        return ask()
    except ProviderError as error:
        if late or surely_not_done(error):
            try:
                release(store, claim)
            except ProviderError as fault:
                error.add_note(f"Its claim stays until it is stale: {fault}")
        raise


def token_of_new(store: Store, ids: Place, id_: str) -> str | None:
    """The token of work that the service may not show yet, because it gave the id a short time ago; None for all else."""
    found = store.look(ids / id_)
    return found.data.decode(errors="replace") if found and found.age < SETTLES else None


def _written(store: Store, place: Place, mine: bytes, write: Callable[[], str | None]) -> str | None:
    """The version of a claim that was written, also where the answer was lost and the client repeated the call, or gave up."""
    lost = None
    try:
        if version := write():
            return version
    except Unavailable as error:
        lost = error
    found = store.look(place)
    if lost and not found:
        raise lost
    return found.version if found and found.data == mine else None


def _noted(store: Store, folder: Place) -> str | None:
    noted = store.read(folder / "id")
    if noted is None:
        return None
    text = noted.decode(errors="replace")
    if not _ID.fullmatch(text):
        raise Damaged(f"{folder / 'id'} is damaged: its content is not the id of a cluster or a job")
    return text


def _note(store: Store, folder: Place, ids: Place, made: str) -> str:
    """Note the id by the token, and before that the token by the id: an id that somebody knows has an age."""
    store.write(ids / made, folder.key.rpartition("/")[2].encode())
    store.write(folder / "id", made.encode())
    return made


_LOCKS: WeakValueDictionary[Place, Any] = WeakValueDictionary()
_LOCKS_LOCK = threading.Lock()


def _lock_of(folder: Place) -> Any:
    """Threads of this process wait for each other, and need no claim to do so."""
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(folder, threading.Lock())
