"""Rows on their way out: the trash past its time, lapsed links, unlinked blobs, idle uploads,
bytes to delete.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecrate.store.blobs import Garbage, insert_garbage, lock_blobs, note_unlinked
from ecrate.store.database import Row, Transaction
from ecrate.store.images import delete_image
from ecrate.store.layers import end_uploads
from ecrate.store.repositories import add_to_image_count, lock_repositories
from ecrate.store.trash import delete_image_for_good, find_bin

# Holds are leases on the bytes, each under a name of its own.
_HOLDER = "hold"
_LAPSED = (
    "SELECT repository_id, blob_id FROM layers WHERE image_count = 0 AND touched_at < ? "
    "ORDER BY touched_at LIMIT ?"
)


def delete_images_past_time(tx: Transaction, now: float, limit: int) -> int:
    """Drop up to `limit` images that can no longer be restored; give how many."""
    rows = tx.all(
        "SELECT t.image_id, i.repository_id FROM trash_images t JOIN images i ON i.id = t.image_id "
        "WHERE t.kept_until <= ? ORDER BY t.kept_until LIMIT ?",
        now,
        limit,
    )
    if rows:
        lock_repositories(tx, {row[1] for row in rows})
    for image_id, bin_id in sorted(rows):
        # What was restored since is not there any more.
        if tx.run("DELETE FROM trash_images WHERE image_id = ? AND kept_until <= ?", image_id, now):
            delete_image_for_good(tx, image_id, bin_id)
    return len(rows)


def delete_repository_past_time(tx: Transaction, now: float, limit: int) -> int:
    """Drop up to `limit` rows of a repository that can no longer be restored; give how many.

    The repository's own row goes with the last of what it holds.
    """
    row = tx.one(
        "SELECT repository_id FROM trash_repositories WHERE kept_until <= ? "
        "ORDER BY kept_until LIMIT 1",
        now,
    )
    # From here on it is not whole, so it must not come back, whatever the clock does.
    if row is None or not tx.run(
        "UPDATE trash_repositories SET kept_until = 0 WHERE repository_id = ? AND kept_until <= ?",
        row[0],
        now,
    ):
        return 0
    return _delete_repository(tx, row[0], now, limit)


def _delete_repository(tx: Transaction, repository_id: int, now: float, limit: int) -> int:
    bin_id = find_bin(tx, repository_id)
    both = lock_repositories(tx, [one for one in (repository_id, bin_id) if one is not None])
    end_uploads(tx, repository_id, now)
    count, unlinked = 0, list[int]()
    for one in both:
        count += _delete_images(tx, one, limit - count)
        some = _unlink_layers(tx, one, limit - count)
        count, unlinked = count + len(some), unlinked + some
    note_unlinked(tx, unlinked)
    if count == limit:
        return count
    tx.run("DELETE FROM trash_repositories WHERE repository_id = ?", repository_id)
    tx.run("DELETE FROM trash_bins WHERE repository_id = ?", repository_id)
    tx.run("DELETE FROM repositories WHERE id = ? OR id = ?", repository_id, bin_id)
    return count + 1


def _delete_images(tx: Transaction, repository_id: int, limit: int) -> int:
    rows = tx.all(
        "SELECT id FROM images WHERE repository_id = ? ORDER BY id LIMIT ?", repository_id, limit
    )
    tx.many("DELETE FROM image_children WHERE image_id = ?", rows)
    tx.many("DELETE FROM image_children WHERE child_id = ?", rows)
    for (image_id,) in rows:
        delete_image(tx, repository_id, image_id, 0.0)
    add_to_image_count(tx, repository_id, -len(rows))
    return len(rows)


def _unlink_layers(tx: Transaction, repository_id: int, limit: int) -> list[int]:
    rows = tx.all(
        "DELETE FROM layers WHERE (repository_id, blob_id) IN (SELECT repository_id, blob_id "
        "FROM layers WHERE repository_id = ? AND image_count = 0 LIMIT ?) RETURNING blob_id",
        repository_id,
        limit,
    )
    return [row[0] for row in rows]


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
            removed.append(Garbage(row[0], row[2], row[1]))
    insert_garbage(tx, removed, now)
    return len(candidates)


def delete_idle_uploads(tx: Transaction, before: float, now: float, limit: int) -> int:
    """End uploads that nobody wrote to since `before`; their bytes become garbage."""
    rows = _take_uploads(tx, "completed_digest IS NULL", before, limit)
    insert_garbage(tx, [Garbage(key, size, state=bytes(state)) for key, size, state in rows], now)
    return len(rows)


def forget_completed_uploads(tx: Transaction, before: float, limit: int) -> int:
    """Drop the kept answers of uploads completed before `before`."""
    return len(_take_uploads(tx, "completed_digest IS NOT NULL", before, limit))


def _take_uploads(tx: Transaction, kind: str, before: float, limit: int) -> list[Row]:
    """Remove the rows of uploads, and give ids, sizes and the blob store's states."""
    old = f"touched_at < ? AND {kind}"
    rows = tx.all(
        "SELECT id, size, blob_state FROM uploads WHERE id IN ("  # noqa: S608 - constants
        f"SELECT id FROM uploads WHERE {old} ORDER BY touched_at LIMIT ?) "
        f"AND {old} ORDER BY id FOR UPDATE",
        before,
        limit,
        before,
    )
    tx.many("DELETE FROM uploads WHERE id = ?", [(row[0],) for row in rows])
    return rows


def claim_garbage(tx: Transaction, before: float, limit: int) -> list[tuple[str, int, bytes]]:
    """Give key, size and blob store's state of bytes that have been in quarantine since before
    `before`; they cannot be restored any more, so they can be deleted outside the transaction.
    """
    rows = tx.all(
        "UPDATE garbage SET removed_at = 0 WHERE key IN ("
        "SELECT key FROM garbage WHERE removed_at <= ? ORDER BY removed_at LIMIT ?) "
        "RETURNING key, size, blob_state",
        before,
        limit,
    )
    return [(row[0], row[1], bytes(row[2])) for row in rows]


def delete_garbage(tx: Transaction, keys: list[str]) -> None:
    """Drop rows whose bytes are deleted."""
    tx.many("DELETE FROM garbage WHERE key = ?", [(key,) for key in keys])


def find_garbage(tx: Transaction, digest: str) -> tuple[str, int] | None:
    """Give key and size of the bytes of this digest that came into quarantine last."""
    row = tx.one(
        "SELECT key, size FROM garbage WHERE digest = ? AND removed_at > 0 "
        "ORDER BY removed_at DESC LIMIT 1",
        digest,
    )
    return None if row is None else (row[0], row[1])


def take_garbage(tx: Transaction, key: str) -> bool:
    """Take bytes out of quarantine; tell whether they were still there."""
    return bool(tx.run("DELETE FROM garbage WHERE key = ? AND removed_at > 0", key))


def is_garbage(tx: Transaction, key: str) -> bool:
    """Tell whether the bytes under `key` are on their way out."""
    return tx.one("SELECT 1 FROM garbage WHERE key = ?", key) is not None


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


def insert_hold(tx: Transaction, hold_id: str, now: float, until: float) -> None:
    """Keep all bytes from being deleted for a while; forget such holds that are over."""
    tx.run("DELETE FROM leases WHERE holder = ? AND expires_at < ?", _HOLDER, now)
    tx.run(
        "INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ?)", hold_id, _HOLDER, until
    )


def renew_hold(tx: Transaction, hold_id: str, now: float, until: float) -> bool:
    """Tell whether the hold was not over yet; then it goes on."""
    return bool(
        tx.run(
            "UPDATE leases SET expires_at = ? WHERE name = ? AND holder = ? AND expires_at >= ?",
            until,
            hold_id,
            _HOLDER,
            now,
        )
    )


def delete_hold(tx: Transaction, hold_id: str) -> None:
    tx.run("DELETE FROM leases WHERE name = ? AND holder = ?", hold_id, _HOLDER)


def is_held(tx: Transaction, now: float) -> bool:
    """Tell whether a hold keeps all bytes from being deleted."""
    held = "SELECT 1 FROM leases WHERE holder = ? AND expires_at >= ? LIMIT 1"
    return tx.one(held, _HOLDER, now) is not None


def begin_counting(tx: Transaction, lease: str, now: float) -> None:
    """Count from nothing what a new holder of the lease settles."""
    tx.run("DELETE FROM collected WHERE lease = ?", lease)
    tx.run("INSERT INTO collected (lease, since) VALUES (?, ?)", lease, now)


def count_collected(tx: Transaction, lease: str, counts: Sequence[int]) -> None:
    """Add trash, links, blobs, uploads, files and bytes."""
    tx.run(
        "UPDATE collected SET trash = trash + ?, links = links + ?, blobs = blobs + ?, "
        "uploads = uploads + ?, files = files + ?, bytes = bytes + ? WHERE lease = ?",
        *counts,
        lease,
    )
