"""What has happened: the outbox that operations write to in their own transactions, and the events
in the one order in which all readers see them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from ecrate.domain.events import Event
from ecrate.domain.names import RegistryRef
from ecrate.store.database import Row, Transaction

_COLUMNS = "registry_id, region, repository, kind, actor, happened_at, detail"


def insert_event(
    tx: Transaction,
    registry: RegistryRef,
    repository: str,
    kind: str,
    detail: str,
    *,
    actor: str,
    now: float,
) -> None:
    """Note what this transaction does; `detail` is JSON.

    The repository's row has to be locked, which keeps the events of a repository in order.
    """
    tx.run(
        f"INSERT INTO outbox ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        registry.id,
        registry.region,
        repository,
        kind,
        actor,
        now,
        detail,
    )


def is_outbox_empty(tx: Transaction) -> bool:
    """Tell whether nothing waits to be published."""
    return tx.one("SELECT 1 FROM outbox LIMIT 1") is None


def publish(tx: Transaction, limit: int) -> int:
    """Move up to `limit` events from the outbox to where readers look; give how many.

    No two may do so at once: what commits later would else stand before what a reader has seen.
    One whose lease has passed on and who wakes up then waits for the rows the other one moves.
    """
    rows = tx.all(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT ?) "  # noqa: S608 - constants
        f"RETURNING id, {_COLUMNS}",
        limit,
    )
    tx.many(
        f"INSERT INTO events (id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        [(str(uuid.uuid4()), *row[1:]) for row in sorted(rows)],
    )
    return len(rows)


def list_events(tx: Transaction, after: int, limit: int) -> list[Event]:
    """Give up to `limit` published events behind the position `after`, in order."""
    rows = tx.all(
        f"SELECT position, id, {_COLUMNS} FROM events WHERE position > ? "  # noqa: S608 - constants
        "ORDER BY position LIMIT ?",
        after,
        limit,
    )
    return [_event(row) for row in rows]


def list_registry_events(
    tx: Transaction, registry: RegistryRef, repository: str, after: int, limit: int
) -> list[Event]:
    """As `list_events`, of one registry, and of one repository unless that is an empty text."""
    of_one = "AND repository = ? " if repository else ""
    rows = tx.all(
        f"SELECT position, id, {_COLUMNS} FROM events "  # noqa: S608 - constants
        f"WHERE registry_id = ? AND region = ? AND position > ? {of_one}ORDER BY position LIMIT ?",
        registry.id,
        registry.region,
        after,
        *([repository] if repository else []),
        limit,
    )
    return [_event(row) for row in rows]


def _event(row: Row) -> Event:
    return Event(
        position=row[0],
        id=row[1],
        registry=RegistryRef(row[2], row[3]),
        repository=row[4],
        kind=row[5],
        actor=row[6],
        happened_at=row[7],
        detail=json.loads(row[8]),
    )


def find_last_position(tx: Transaction) -> int:
    """Give the position of the newest published event, 0 where there is none."""
    row = tx.one("SELECT position FROM events ORDER BY position DESC LIMIT 1")
    return 0 if row is None else int(row[0])


def find_reader(tx: Transaction, name: str) -> int | None:
    """Give the position up to which a reader is done, None for a new one."""
    row = tx.one("SELECT position FROM event_readers WHERE name = ? FOR UPDATE", name)
    return None if row is None else int(row[0])


def insert_reader(tx: Transaction, name: str, position: int) -> None:
    """Let a new reader begin behind a position, unless it has begun meanwhile."""
    tx.run(
        "INSERT INTO event_readers (name, position) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
        name,
        position,
    )


def put_reader(tx: Transaction, name: str, position: int) -> None:
    """Note the position up to which a reader is done."""
    tx.run("UPDATE event_readers SET position = ? WHERE name = ?", position, name)


def delete_old_events(tx: Transaction, before: float, unread: float, limit: int) -> int:
    """Forget events from before `before` that every reader is done with, and any from before
    `unread`, the oldest first, up to `limit`; give how many.
    """
    row = tx.one("SELECT MIN(position) FROM event_readers")
    done = row[0] if row is not None and row[0] is not None else find_last_position(tx)
    rows: Sequence[tuple[int, float]] = [
        (row[0], row[1])
        for row in tx.all(
            "SELECT position, happened_at FROM events ORDER BY position LIMIT ?", limit
        )
    ]
    old = [
        position
        for position, happened_at in rows
        if happened_at < (before if position <= done else unread)
    ]
    if not old:
        return 0
    return tx.run("DELETE FROM events WHERE position <= ? AND happened_at < ?", old[-1], before)
