"""Rows on their way out: lapsed links, unlinked blobs, idle uploads, bytes to delete."""

from __future__ import annotations

from ecrate.store.blobs import insert_garbage, lock_blobs, note_unlinked
from ecrate.store.database import Row, Transaction
from ecrate.store.repositories import lock_repositories

_LAPSED = (
    "SELECT repository_id, blob_id FROM layers WHERE image_count = 0 AND touched_at < ? "
    "ORDER BY touched_at LIMIT ?"
)


def unlink_lapsed_layers(tx: Transaction, before: float, limit: int) -> int:
    """Remove links that no image needs and nobody touched since `before`; give how many."""
    found = {row[0] for row in tx.all(_LAPSED, before, limit)}
    places = lock_repositories(tx, found) if found else []
    if not places:
        return 0
    marks = ", ".join("?" * len(places))
    rows = tx.all(
        f"DELETE FROM layers WHERE (repository_id, blob_id) IN ({_LAPSED}) "  # noqa: S608 - constants
        f"AND repository_id IN ({marks}) RETURNING blob_id",
        before,
        limit,
        *places,
    )
    note_unlinked(tx, [row[0] for row in rows])
    return len(rows)


def condemn_unlinked_blobs(tx: Transaction, now: float, limit: int) -> int:
    """Turn blobs without any link into garbage; give how many candidates were settled."""
    rows = tx.all("SELECT blob_id FROM unlinked_blobs ORDER BY blob_id LIMIT ?", limit)
    candidates = [row[0] for row in rows]
    if candidates:
        lock_blobs(tx, candidates)
    removed = []
    for blob_id in candidates:
        tx.run("DELETE FROM unlinked_blobs WHERE blob_id = ?", blob_id)
        row = tx.one(
            "DELETE FROM blobs WHERE id = ? "
            "AND NOT EXISTS (SELECT 1 FROM layers WHERE blob_id = blobs.id) "
            "RETURNING key, digest, size",
            blob_id,
        )
        if row is not None:
            removed.append((row[0], row[1], row[2]))
    insert_garbage(tx, removed, now)
    return len(candidates)


def delete_idle_uploads(tx: Transaction, before: float, now: float, limit: int) -> int:
    """End uploads that nobody wrote to since `before`; their bytes become garbage."""
    rows = _take_uploads(tx, "completed_digest IS NULL", before, limit)
    insert_garbage(tx, [(key, None, size) for key, size in rows], now)
    return len(rows)


def forget_completed_uploads(tx: Transaction, before: float, limit: int) -> int:
    """Drop the kept answers of uploads completed before `before`."""
    return len(_take_uploads(tx, "completed_digest IS NOT NULL", before, limit))


def _take_uploads(tx: Transaction, kind: str, before: float, limit: int) -> list[Row]:
    """Remove the rows of uploads, and give their ids and sizes."""
    old = f"touched_at < ? AND {kind}"
    rows = tx.all(
        "SELECT id, size FROM uploads WHERE id IN ("  # noqa: S608 - constants
        f"SELECT id FROM uploads WHERE {old} ORDER BY touched_at LIMIT ?) "
        f"AND {old} ORDER BY id FOR UPDATE",
        before,
        limit,
        before,
    )
    tx.many("DELETE FROM uploads WHERE id = ?", [(row[0],) for row in rows])
    return rows


def list_garbage(tx: Transaction, before: float, limit: int) -> list[str]:
    """Give keys that have been in quarantine since before `before`."""
    rows = tx.all(
        "SELECT key FROM garbage WHERE removed_at <= ? ORDER BY removed_at LIMIT ?", before, limit
    )
    return [row[0] for row in rows]


def delete_garbage(tx: Transaction, keys: list[str]) -> None:
    """Drop rows whose bytes are deleted."""
    tx.many("DELETE FROM garbage WHERE key = ?", [(key,) for key in keys])


def is_known_key(tx: Transaction, key: str) -> bool:
    """Tell whether any row accounts for the bytes under `key`."""
    return (
        tx.one(
            "SELECT 1 FROM blobs WHERE key = ? UNION ALL SELECT 1 FROM uploads WHERE id = ? "
            "AND completed_digest IS NULL UNION ALL SELECT 1 FROM garbage WHERE key = ?",
            key,
            key,
            key,
        )
        is not None
    )


def find_lease(tx: Transaction, name: str) -> tuple[str, float] | None:
    """Give holder and end of a lease that was ever taken."""
    row = tx.one("SELECT holder, expires_at FROM leases WHERE name = ?", name)
    return None if row is None else (row[0], row[1])


def take_lease(tx: Transaction, name: str, holder: str, now: float, seconds: float) -> bool:
    """Take or renew a lease on background work; tell whether `holder` has it."""
    return bool(
        tx.run(
            "INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, "
            "expires_at = excluded.expires_at "
            "WHERE leases.holder = excluded.holder OR leases.expires_at < ?",
            name,
            holder,
            now + seconds,
            now,
        )
    )
