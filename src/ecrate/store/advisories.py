"""Rows of advisories, and of the feed that says which are in force.

Each holds from one number of the feed on (`since`), to another (`until`). An import writes under
the number that comes next, where nobody looks, in as many transactions as it likes; then one that
changes the number puts all of it in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ecrate.store.database import Transaction

_STEP = 400
_IN_FORCE = "since <= ? AND (until IS NULL OR until > ?)"


@dataclass(frozen=True, slots=True)
class Feed:
    """`number` is in force since `updated_at`; `source` is the import on its way to the next."""

    number: int = 0
    updated_at: float | None = None
    source: str = ""


class NewAdvisory(NamedTuple):
    """`content` is JSON; `packages` are (ecosystem, name, JSON)."""

    id: str
    modified: float
    content: str
    packages: Sequence[tuple[str, str, str]]


def find_feed(tx: Transaction) -> Feed:
    row = tx.one("SELECT number, updated_at, source FROM advisory_feed WHERE id = 1")
    return Feed() if row is None else Feed(*row)


def put_feed(tx: Transaction, feed: Feed) -> None:
    tx.run(
        "INSERT INTO advisory_feed (id, number, updated_at, source) VALUES (1, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET number = excluded.number, "
        "updated_at = excluded.updated_at, source = excluded.source",
        feed.number,
        feed.updated_at,
        feed.source,
    )


def find_times(tx: Transaction, ids: Sequence[str]) -> dict[str, float]:
    """Give, by id, when the newest document that is stored was modified."""
    found: dict[str, float] = {}
    for start in range(0, len(ids), _STEP):
        some = ids[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        rows = tx.all(
            "SELECT id, modified FROM advisories WHERE until IS NULL "  # noqa: S608 - constants
            f"AND id IN ({marks})",
            *some,
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def insert_advisories(tx: Transaction, new: Iterable[NewAdvisory], since: int) -> None:
    """Write documents that hold from `since` on, and let older ones of the same ids end there.

    What was written under the same number before is overwritten.
    """
    new = [*new]
    tx.many("DELETE FROM advisories WHERE id = ? AND since = ?", [(one.id, since) for one in new])
    tx.many(
        "UPDATE advisories SET until = ? WHERE id = ? AND until IS NULL",
        [(since, one.id) for one in new],
    )
    tx.many(
        "INSERT INTO advisories (id, since, modified, content) VALUES (?, ?, ?, ?)",
        [(one.id, since, one.modified, one.content) for one in new],
    )
    tx.many(
        "INSERT INTO advisory_packages (ecosystem, name, advisory_id, since, affected) "
        "VALUES (?, ?, ?, ?, ?)",
        [
            (ecosystem, name, one.id, since, affected)
            for one in new
            for ecosystem, name, affected in one.packages
        ],
    )


def discard_new(tx: Transaction, number: int, limit: int) -> int:
    """Take away up to `limit` documents of an import that never ended; give how many."""
    rows = tx.all("SELECT id, since FROM advisories WHERE since > ? LIMIT ?", number, limit)
    for id_, since in rows:
        tx.run("DELETE FROM advisories WHERE id = ? AND since = ?", id_, since)
        tx.run("UPDATE advisories SET until = NULL WHERE id = ? AND until = ?", id_, since)
    return len(rows)


def delete_old(tx: Transaction, number: int, limit: int) -> int:
    """Delete up to `limit` documents that are not in force any more; give how many."""
    rows = tx.all("SELECT id, since FROM advisories WHERE until <= ? LIMIT ?", number, limit)
    tx.many("DELETE FROM advisories WHERE id = ? AND since = ?", rows)
    return len(rows)


def end_all(tx: Transaction, ids: Sequence[str], until: int) -> None:
    """Let these hold no longer than that."""
    tx.many(
        "UPDATE advisories SET until = ? WHERE id = ? AND until IS NULL AND since < ?",
        [(until, one, until) for one in ids],
    )


def list_ids(tx: Transaction) -> list[str]:
    """Give the ids of all documents that hold or are about to."""
    return [row[0] for row in tx.all("SELECT id FROM advisories WHERE until IS NULL ORDER BY id")]


def count_new(tx: Transaction, number: int) -> int:
    """Count what holds from behind this number on."""
    row = tx.one("SELECT count(*) FROM advisories WHERE since > ?", number)
    return int(row[0]) if row else 0


def list_affected(tx: Transaction, number: int, ecosystem: str, name: str) -> list[tuple[str, str]]:
    """Give (advisory, JSON) of all that is in force about a package, in order."""
    rows = tx.all(
        "SELECT p.advisory_id, p.affected FROM advisory_packages p "
        "JOIN advisories a ON a.id = p.advisory_id AND a.since = p.since "
        "WHERE p.ecosystem = ? AND p.name = ? "
        "AND a.since <= ? AND (a.until IS NULL OR a.until > ?) "
        "ORDER BY p.advisory_id",
        ecosystem,
        name,
        number,
        number,
    )
    return [(row[0], row[1]) for row in rows]


def find_contents(tx: Transaction, number: int, ids: Sequence[str]) -> dict[str, str]:
    """Give, by id, the JSON of those that are in force."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), _STEP):
        some = ids[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        rows = tx.all(
            f"SELECT id, content FROM advisories WHERE {_IN_FORCE} AND id IN ({marks})",  # noqa: S608 - constants
            number,
            number,
            *some,
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def count_advisories(tx: Transaction, number: int) -> tuple[int, dict[str, int]]:
    """Give how many are in force, and how many packages of each ecosystem they are about."""
    row = tx.one(f"SELECT count(*) FROM advisories WHERE {_IN_FORCE}", number, number)  # noqa: S608 - constants
    rows = tx.all(
        "SELECT ecosystem, count(DISTINCT name) FROM advisory_packages WHERE since <= ? "
        "GROUP BY ecosystem ORDER BY ecosystem",
        number,
    )
    return (int(row[0]) if row else 0), {row[0]: int(row[1]) for row in rows}
