"""What waits for the collector, and what is known of a digest's bytes: questions only."""

from __future__ import annotations

from ecrate.domain.garbage import (
    GarbageBacklog,
    Keeper,
    Link,
    LinkBacklog,
    Quarantined,
    TrashBacklog,
    UploadBacklog,
    Work,
)
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.domain.trash import TRASH
from ecrate.store.database import Row, Transaction


def find_work(tx: Transaction, lease: str) -> Work | None:
    """Give what the holder of the lease has settled, None before anybody had it."""
    row = tx.one(
        "SELECT l.holder, l.expires_at, c.since, c.trash, c.links, c.blobs, c.uploads, c.files, "
        "c.bytes FROM collected c JOIN leases l ON l.name = c.lease WHERE c.lease = ?",
        lease,
    )
    return None if row is None else Work(*row)


def count_trash(tx: Transaction, now: float) -> TrashBacklog:
    repositories = _row(
        tx,
        "SELECT count(*), min(kept_until), max(kept_until) FROM trash_repositories "
        "WHERE kept_until > ?",
        now,
    )
    images = _row(
        tx,
        "SELECT count(*), min(kept_until), max(kept_until) FROM trash_images WHERE kept_until > ?",
        now,
    )
    past_time = _row(
        tx,
        "SELECT (SELECT count(*) FROM trash_repositories WHERE kept_until <= ?) + "
        "(SELECT count(*) FROM trash_images WHERE kept_until <= ?)",
        now,
        now,
    )
    size = _row(
        tx,
        "SELECT coalesce(sum(size), 0) FROM blobs WHERE id IN ("
        "SELECT l.blob_id FROM repositories t JOIN layers l ON l.repository_id = t.id "
        "WHERE t.registry_id = ? AND l.image_count > 0 AND NOT EXISTS ("
        "SELECT 1 FROM layers o JOIN repositories r ON r.id = o.repository_id "
        "WHERE o.blob_id = l.blob_id AND r.registry_id <> ?))",
        TRASH.id,
        TRASH.id,
    )
    ends = [end for end in (*repositories[1:], *images[1:]) if end is not None]
    return TrashBacklog(
        repositories=repositories[0],
        images=images[0],
        bytes=int(size[0]),
        first_end=min(ends, default=None),
        last_end=max(ends, default=None),
        past_time=past_time[0],
    )


def count_links(tx: Transaction, before: float) -> LinkBacklog:
    """Count links that no image needs, by whether they were last touched before `before`."""
    sql = "SELECT count(*) FROM layers WHERE image_count = 0 AND touched_at "
    return LinkBacklog(
        in_grace=_row(tx, f"{sql} >= ?", before)[0], lapsed=_row(tx, f"{sql} < ?", before)[0]
    )


def count_uploads(tx: Transaction, before: float) -> UploadBacklog:
    """Count open uploads, and those that nobody wrote to since `before`."""
    sql = "SELECT count(*) FROM uploads WHERE completed_digest IS NULL"
    return UploadBacklog(
        open=_row(tx, sql)[0], idle=_row(tx, f"{sql} AND touched_at < ?", before)[0]
    )


def count_unlinked_blobs(tx: Transaction) -> int:
    """Count blobs that have lost a link, and may have no other."""
    return int(_row(tx, "SELECT count(*) FROM unlinked_blobs")[0])


def count_garbage(tx: Transaction, quarantine: float, now: float) -> GarbageBacklog:
    """Count bytes that wait `quarantine` seconds before they are deleted."""
    files, size, last = _row(
        tx, "SELECT count(*), coalesce(sum(size), 0), max(removed_at) FROM garbage"
    )
    due = _row(tx, "SELECT count(*) FROM garbage WHERE removed_at <= ?", now - quarantine)
    last_end = None if last is None else max(last + quarantine, now)
    return GarbageBacklog(files=files, bytes=int(size), due=due[0], last_end=last_end)


def find_blob(tx: Transaction, digest: str) -> tuple[int, int, float] | None:
    """Give id, size and when it was stored."""
    row = tx.one("SELECT id, size, stored_at FROM blobs WHERE digest = ?", digest)
    return None if row is None else (row[0], row[1], row[2])


def count_links_of(tx: Transaction, blob_id: int) -> int:
    """Count the repositories that have the blob as a layer."""
    return int(
        _row(
            tx,
            "SELECT count(*) FROM layers l JOIN repositories r ON r.id = l.repository_id "
            "WHERE l.blob_id = ? AND r.registry_id <> ?",
            blob_id,
            TRASH.id,
        )[0]
    )


def list_links(
    tx: Transaction, blob_id: int, layer_grace: float, *, limit: int, image_limit: int
) -> list[Link]:
    """Give up to `limit` repositories that have the blob as a layer, those that need it first,
    each with up to `image_limit` images.
    """
    rows = tx.all(
        "SELECT l.repository_id, r.registry_id, r.region, r.name, l.image_count, l.touched_at "
        "FROM layers l JOIN repositories r ON r.id = l.repository_id "
        "WHERE l.blob_id = ? AND r.registry_id <> ? "
        "ORDER BY CASE WHEN l.image_count > 0 THEN 0 ELSE 1 END, l.touched_at DESC LIMIT ?",
        blob_id,
        TRASH.id,
        limit,
    )
    return [
        Link(
            ref=RepositoryRef(RegistryRef(row[1], row[2]), row[3]),
            image_count=row[4],
            images=_images(tx, row[0], blob_id, image_limit),
            touched_at=row[5],
            lapses_at=None if row[4] else row[5] + layer_grace,
        )
        for row in rows
    ]


def _images(tx: Transaction, repository_id: int, blob_id: int, limit: int) -> list[Digest]:
    rows = tx.all(
        "SELECT i.digest FROM image_layers l JOIN images i ON i.id = l.image_id "
        "WHERE l.repository_id = ? AND l.blob_id = ? ORDER BY i.id LIMIT ?",
        repository_id,
        blob_id,
        limit,
    )
    return [Digest(row[0]) for row in rows]


def list_keepers(tx: Transaction, blob_id: int, limit: int) -> list[Keeper]:
    """Give up to `limit` repositories, and up to `limit` images, that need the blob when they are
    restored, what is kept longest first.
    """
    repositories = tx.all(
        "SELECT t.registry_id, t.region, t.name, NULL, t.kept_until "
        "FROM layers l JOIN trash_repositories t ON t.repository_id = l.repository_id "
        "WHERE l.blob_id = ? AND l.image_count > 0 ORDER BY t.kept_until DESC LIMIT ?",
        blob_id,
        limit,
    )
    images = tx.all(
        "SELECT coalesce(g.registry_id, r.registry_id), coalesce(g.region, r.region), "
        "coalesce(g.name, r.name), i.digest, t.kept_until "
        "FROM layers l JOIN trash_bins b ON b.bin_id = l.repository_id "
        "JOIN image_layers n ON n.repository_id = l.repository_id AND n.blob_id = l.blob_id "
        "JOIN trash_images t ON t.image_id = n.image_id JOIN images i ON i.id = n.image_id "
        "JOIN repositories r ON r.id = b.repository_id "
        "LEFT JOIN trash_repositories g ON g.repository_id = b.repository_id "
        "WHERE l.blob_id = ? ORDER BY t.kept_until DESC LIMIT ?",
        blob_id,
        limit,
    )
    return [
        Keeper(
            ref=RepositoryRef(RegistryRef(row[0], row[1]), row[2]),
            digest=None if row[3] is None else Digest(row[3]),
            kept_until=row[4],
        )
        for row in (*repositories, *images)
    ]


def list_quarantined(tx: Transaction, digest: str, quarantine: float) -> list[Quarantined]:
    """Give all bytes of the digest that are in quarantine and not being deleted."""
    rows = tx.all(
        "SELECT key, size, removed_at FROM garbage WHERE digest = ? AND removed_at > 0 "
        "ORDER BY removed_at",
        digest,
    )
    return [Quarantined(row[0], row[1], row[2], row[2] + quarantine) for row in rows]


def _row(tx: Transaction, sql: str, *values: object) -> Row:
    """Give the one row of an aggregate."""
    return tx.one(sql, *values) or (0,)
