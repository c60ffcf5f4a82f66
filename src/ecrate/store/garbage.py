"""Rows on their way out: lapsed links, unlinked blobs, idle uploads, bytes to delete."""

from __future__ import annotations

from ecrate.store.database import Transaction
from ecrate.store.layers import Garbage, insert_garbage


def unlink_lapsed_layers(tx: Transaction, before: float, limit: int) -> int:
    """Remove links that no image needs and nobody touched since `before`; give how many."""
    rows = tx.all(
        "DELETE FROM layers WHERE (repository_id, blob_id) IN ("
        "SELECT repository_id, blob_id FROM layers WHERE image_count = 0 AND touched_at < ? "
        "ORDER BY touched_at LIMIT ?) RETURNING blob_id",
        before,
        limit,
    )
    tx.many("INSERT INTO unlinked_blobs (blob_id) VALUES (?) ON CONFLICT DO NOTHING", rows)
    return len(rows)


def condemn_unlinked_blobs(tx: Transaction, now: float, limit: int) -> int:
    """Turn blobs without any link into garbage; give how many candidates were settled."""
    candidates = tx.all("SELECT blob_id FROM unlinked_blobs ORDER BY blob_id LIMIT ?", limit)
    removed = []
    for (blob_id,) in candidates:
        tx.run("DELETE FROM unlinked_blobs WHERE blob_id = ?", blob_id)
        row = tx.one(
            "DELETE FROM blobs WHERE id = ? "
            "AND NOT EXISTS (SELECT 1 FROM layers WHERE blob_id = blobs.id) "
            "RETURNING key, digest, size",
            blob_id,
        )
        if row is not None:
            removed.append(Garbage(row[0], row[2], row[1]))
    insert_garbage(tx, removed, now)
    return len(candidates)


def delete_idle_uploads(tx: Transaction, before: float, now: float, limit: int) -> int:
    """End uploads that nobody wrote to since `before`; their bytes become garbage."""
    rows = tx.all(
        "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE touched_at < ? "
        "AND completed_digest IS NULL ORDER BY touched_at LIMIT ?) RETURNING id, size, blob_state",
        before,
        limit,
    )
    insert_garbage(tx, [Garbage(key, size, state=state) for key, size, state in rows], now)
    return len(rows)


def forget_completed_uploads(tx: Transaction, before: float, limit: int) -> int:
    """Drop the kept answers of uploads completed before `before`."""
    return tx.run(
        "DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE touched_at < ? "
        "AND completed_digest IS NOT NULL ORDER BY touched_at LIMIT ?)",
        before,
        limit,
    )


def list_garbage(tx: Transaction, before: float, limit: int) -> list[tuple[str, bytes]]:
    """Give keys, with the blob store's state, that are in quarantine since before `before`."""
    rows = tx.all(
        "SELECT key, blob_state FROM garbage WHERE removed_at <= ? ORDER BY removed_at LIMIT ?",
        before,
        limit,
    )
    return [(row[0], bytes(row[1])) for row in rows]


def delete_garbage(tx: Transaction, keys: list[str]) -> None:
    """Drop rows whose bytes are deleted."""
    tx.many("DELETE FROM garbage WHERE key = ?", [(key,) for key in keys])


def is_known_key(tx: Transaction, key: str) -> bool:
    """Tell whether any row accounts for the bytes under `key`: it may be an upload's id with
    something behind a dot.
    """
    return (
        tx.one(
            "SELECT 1 FROM blobs WHERE key = ? UNION ALL SELECT 1 FROM uploads WHERE id = ? "
            "AND completed_digest IS NULL UNION ALL SELECT 1 FROM garbage WHERE key = ?",
            key,
            key.partition(".")[0],
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
