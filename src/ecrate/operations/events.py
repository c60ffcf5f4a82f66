"""Events: written to the outbox by the transaction they tell of, published in one order, read by
the background work that follows them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.events import (
    PULL_THROUGH_CACHE_ACTION,
    REPLICATION_ACTION,
    Event,
    ImageAction,
    PullThroughCacheAction,
    ReplicationAction,
)
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.replication import ACTOR
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.store import events as store
from ecrate.store.database import Transaction

_BATCH: Final = 500
# How many times as long as others an event is kept that a reader has not come to: all readers of a
# server that was down for long, while one that nobody serves any more must not keep all for ever.
_PATIENCE: Final = 4


def note_image_action(
    tx: Transaction, ref: RepositoryRef, action: ImageAction, *, actor: str, now: float
) -> None:
    """Note what this transaction does to an image of a repository that it has locked."""
    detail = json.dumps(action.detail(ref.name), separators=(",", ":"))
    store.insert_event(tx, ref.registry, ref.name, action.kind, detail, actor=actor, now=now)


def note_replication(
    tx: Transaction, ref: RepositoryRef, action: ReplicationAction, *, now: float
) -> None:
    """Note what came of a replication to this repository."""
    detail = json.dumps(action.detail(ref.name), separators=(",", ":"))
    store.insert_event(tx, ref.registry, ref.name, REPLICATION_ACTION, detail, actor=ACTOR, now=now)


def note_pull_through_cache_action(
    tx: Transaction, ref: RepositoryRef, action: PullThroughCacheAction, *, now: float
) -> None:
    """Note what came of asking an upstream."""
    detail = json.dumps(action.detail(ref.name), separators=(",", ":"))
    kind = PULL_THROUGH_CACHE_ACTION
    store.insert_event(
        tx, ref.registry, ref.name, kind, detail, actor="pull through cache", now=now
    )


def publish_events(core: Core) -> bool:
    """Publish a batch of the outbox, and forget events past their time; tell whether more waits.

    The caller holds the lease on it: no two may publish at once.
    """
    with core.database.look() as tx:
        is_empty = store.is_outbox_empty(tx)
    if is_empty:
        return _forget(core)
    with core.database.write() as tx:
        return store.publish(tx, _BATCH) == _BATCH


def _forget(core: Core) -> bool:
    now, kept = core.clock(), core.limits.events_kept
    with core.database.look() as tx:
        oldest = store.list_events(tx, 0, 1)
    if not oldest or oldest[0].happened_at >= now - kept:
        return False
    with core.database.write() as tx:
        unread = now - _PATIENCE * kept
        return store.delete_old_events(tx, now - kept, unread, _BATCH) == _BATCH


def follow_events(
    core: Core,
    reader: str,
    take: Callable[[Transaction, Sequence[Event]], None],
    *,
    from_first: bool = False,
) -> bool:
    """Let a reader take the next batch of published events, in order and each exactly once: what
    `take` writes and how far the reader has come are one transaction. Tell whether more waits.

    A new reader begins with what is published from then on, or with `from_first` with all there is:
    a server's own reader misses nothing of what happened before its first look.
    """
    with core.database.look() as tx:
        position = store.find_reader(tx, reader)
        events = [] if position is None else store.list_events(tx, position, _BATCH)
    if position is not None and not events:
        return False
    with core.database.write() as tx:
        if position is None:
            store.insert_reader(tx, reader, 0 if from_first else store.find_last_position(tx))
            return from_first
        if store.find_reader(tx, reader) != position:
            return True
        take(tx, events)
        store.put_reader(tx, reader, events[-1].position)
    return len(events) == _BATCH


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order; `position` is where the next page goes on, `has_more` tells whether there
    is one already.
    """

    events: Sequence[Event]
    position: int
    has_more: bool


def read_events(
    core: Core,
    caller: Caller,
    registry: RegistryRef,
    repository: str = "",
    *,
    after: int,
    limit: int = 100,
) -> EventPage:
    """Give published events behind the position `after`, of the whole registry or of one of its
    repositories; raises `AccessDenied`.
    """
    with core.database.read() as tx:
        resource = RepositoryRef(registry, repository or "*").arn
        authorize(tx, caller, registry, "ReadEvents", resource)
        found = store.list_registry_events(tx, registry, repository, after, limit)
        last = max(store.find_last_position(tx), after)
    if len(found) < limit:
        return EventPage(found, last, has_more=False)
    return EventPage(found, found[-1].position, has_more=True)


def find_last_position(core: Core) -> int:
    """Give the position of the newest published event, 0 where there is none."""
    with core.database.look() as tx:
        return store.find_last_position(tx)
