"""Blobs as they lose their links, and what becomes of their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class Garbage(NamedTuple):
    """Bytes that no row needs any more: their key, and of an upload the blob store's state."""

    key: str
    size: int = 0
    digest: str | None = None
    state: bytes = b""


def insert_garbage(tx: Transaction, items: Sequence[Garbage], now: float) -> None:
    """Hand bytes to the collector, which deletes them a quarantine after `now`."""
    tx.many(
        "INSERT INTO garbage (key, size, digest, blob_state, removed_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        [(*item, now) for item in items],
    )
