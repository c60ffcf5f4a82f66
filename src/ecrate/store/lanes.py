"""Rows of lanes and the tasks that wait in them.

A lane's row is locked by whoever adds to it or takes from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from ecrate.domain.lanes import Lane, Task
from ecrate.store.database import Row, Transaction


def insert_task(
    tx: Transaction,
    work: str,
    owner: str,
    key: str,
    body: Mapping[str, Any],
    *,
    now: float,
    batch: str | None = None,
) -> None:
    """Put a task behind those of the lane, which comes into being where there is none."""
    row = tx.one(
        "INSERT INTO lanes (work, owner, key, next_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (work, owner, key) DO UPDATE SET owner = excluded.owner RETURNING id",
        work,
        owner,
        key,
        now,
    )
    tx.run(
        "INSERT INTO tasks (lane_id, batch, created_at, body) VALUES (?, ?, ?, ?)",
        0 if row is None else row[0],
        batch,
        now,
        json.dumps(body, separators=(",", ":")),
    )


def list_due_lanes(
    tx: Transaction, work: str, now: float, limit: int, *, without: Collection[str]
) -> list[Lane]:
    """Give up to `limit` lanes whose head may be tried, the one that waits longest first, of all
    owners but those `without`.
    """
    marks = ", ".join("?" * len(without))
    others = f"AND l.owner NOT IN ({marks}) " if without else ""
    rows = tx.all(
        "SELECT l.id, l.owner, l.key, l.attempts, t.id, t.batch, t.created_at, t.body "  # noqa: S608 - places
        "FROM lanes l JOIN tasks t ON t.id = (SELECT MIN(id) FROM tasks WHERE lane_id = l.id) "
        f"WHERE l.work = ? AND l.next_at <= ? {others}ORDER BY l.next_at, l.id LIMIT ?",
        work,
        now,
        *without,
        limit,
    )
    return [_lane(row) for row in rows]


def _lane(row: Row) -> Lane:
    lane_id, owner, key, attempts, task_id, batch, created_at, body = row
    task = Task(task_id, batch, created_at, json.loads(body))
    return Lane(lane_id, owner, key, attempts, task)


def lock_head(tx: Transaction, lane: Lane) -> bool:
    """Lock the lane; tell whether it still has this task at its head."""
    if tx.one("SELECT id FROM lanes WHERE id = ? FOR UPDATE", lane.id) is None:
        return False
    row = tx.one("SELECT MIN(id) FROM tasks WHERE lane_id = ?", lane.id)
    return row is not None and row[0] == lane.task.id


def delete_head(tx: Transaction, lane: Lane, now: float) -> None:
    """Take the task away, and the lane with its last; otherwise the next may be tried at once."""
    tx.run("DELETE FROM tasks WHERE id = ?", lane.task.id)
    if tx.one("SELECT 1 FROM tasks WHERE lane_id = ? LIMIT 1", lane.id) is None:
        tx.run("DELETE FROM lanes WHERE id = ?", lane.id)
    else:
        tx.run(
            "UPDATE lanes SET attempts = 0, failure = '', next_at = ? WHERE id = ?", now, lane.id
        )


def postpone(tx: Transaction, lane: Lane, until: float, reason: str) -> None:
    """Note that the head was tried in vain, and when it is to be tried again."""
    tx.run(
        "UPDATE lanes SET attempts = attempts + 1, failure = ?, next_at = ? WHERE id = ?",
        reason,
        until,
        lane.id,
    )


def hasten(tx: Transaction, work: str, owner: str, now: float) -> int:
    """Let all lanes of an owner be tried at once; give how many."""
    return tx.run(
        "UPDATE lanes SET next_at = ? WHERE work = ? AND owner = ? AND next_at > ?",
        now,
        work,
        owner,
        now,
    )


def delete_lanes(tx: Transaction, work: str, owner: str) -> None:
    """Forget all that waits for an owner."""
    tx.run("DELETE FROM lanes WHERE work = ? AND owner = ?", work, owner)


def count_tasks(tx: Transaction, work: str, owner: str) -> tuple[int, float | None, str]:
    """Give how many tasks wait for an owner, since when the oldest does, and what failed last."""
    row = tx.one(
        "SELECT COUNT(*), MIN(t.created_at) FROM tasks t JOIN lanes l ON l.id = t.lane_id "
        "WHERE l.work = ? AND l.owner = ?",
        work,
        owner,
    ) or (0, None)
    failed = tx.one(
        "SELECT failure FROM lanes WHERE work = ? AND owner = ? AND failure <> '' "
        "ORDER BY next_at DESC LIMIT 1",
        work,
        owner,
    )
    return int(row[0]), row[1], "" if failed is None else str(failed[0])


def has_batch(tx: Transaction, batch: str) -> bool:
    """Tell whether any task of a batch still waits."""
    return tx.one("SELECT 1 FROM tasks WHERE batch = ? LIMIT 1", batch) is not None


def hasten_batch(tx: Transaction, batch: str, now: float) -> None:
    """Let all lanes in which tasks of a batch wait be tried at once."""
    tx.run(
        "UPDATE lanes SET next_at = ? WHERE next_at > ? "
        "AND id IN (SELECT lane_id FROM tasks WHERE batch = ?)",
        now,
        now,
        batch,
    )
