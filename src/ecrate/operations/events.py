"""Events: written to the outbox by the transaction they tell of, published in one order, read by
the background work that follows them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from ecrate.domain.events import (
    PULL_THROUGH_CACHE_ACTION,
    Event,
    ImageAction,
    PullThroughCacheAction,
)
from ecrate.domain.names import RepositoryRef
from ecrate.operations.core import Core
from ecrate.store import events as store
from ecrate.store.database import Transaction

_BATCH: Final = 500


def note_image_action(
    tx: Transaction, ref: RepositoryRef, action: ImageAction, *, actor: str, now: float
) -> None:
    """Note what this transaction does to an image of a repository that it has locked."""
    detail = json.dumps(action.detail(ref.name), separators=(",", ":"))
    store.insert_event(tx, ref.registry, ref.name, action.kind, detail, actor=actor, now=now)


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
    before = core.clock() - core.limits.events_kept
    with core.database.look() as tx:
        oldest = store.list_events(tx, 0, 1)
    if not oldest or oldest[0].happened_at >= before:
        return False
    with core.database.write() as tx:
        return store.delete_old_events(tx, before, _BATCH) == _BATCH


def begin_following(tx: Transaction, reader: str) -> None:
    """Let a reader that is new begin with what is published from now on."""
    if store.find_reader(tx, reader) is None:
        store.insert_reader(tx, reader, store.find_last_position(tx))


def follow_events(
    core: Core, reader: str, take: Callable[[Transaction, Sequence[Event]], None]
) -> bool:
    """Let a reader take the next batch of published events, in order and each exactly once: what
    `take` writes and how far the reader has come are one transaction. Tell whether more waits.

    A new reader begins with what is published from then on.
    """
    with core.database.look() as tx:
        position = store.find_reader(tx, reader)
        events = [] if position is None else store.list_events(tx, position, _BATCH)
    if position is not None and not events:
        return False
    with core.database.write() as tx:
        if position is None:
            store.insert_reader(tx, reader, store.find_last_position(tx))
            return False
        if store.find_reader(tx, reader) != position:
            return True
        take(tx, events)
        store.put_reader(tx, reader, events[-1].position)
    return len(events) == _BATCH
