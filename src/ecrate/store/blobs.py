"""Blobs as they lose their links, and what becomes of their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ecrate.store.database import Transaction

_STEP = 500


def lock_blobs(tx: Transaction, ids: Sequence[int]) -> None:
    """Keep the links of these blobs as they are; with several calls, lower ids come first."""
    marks = ", ".join("?" * len(ids))
    tx.all(f"SELECT id FROM blobs WHERE id IN ({marks}) ORDER BY id FOR UPDATE", *ids)  # noqa: S608 - places


def note_unlinked(tx: Transaction, blob_ids: Iterable[int]) -> None:
    """Tell the collector that these blobs have lost a link in this transaction."""
    ordered = sorted(set(blob_ids))
    for start in range(0, len(ordered), _STEP):
        some = ordered[start : start + _STEP]
        lock_blobs(tx, some)
        tx.many(
            "INSERT INTO unlinked_blobs (blob_id) VALUES (?) ON CONFLICT DO NOTHING",
            [(blob_id,) for blob_id in some],
        )


def insert_garbage(
    tx: Transaction, items: Sequence[tuple[str, str | None, int]], now: float
) -> None:
    """Hand keys with their digests and sizes to the collector."""
    tx.many(
        "INSERT INTO garbage (key, digest, size, removed_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        [(*item, now) for item in items],
    )
