"""Rows compared with each other, a page at a time; and what puts right what can be derived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.damage import DamagedImage
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.domain.trash import TRASH
from ecrate.store.blobs import lock_blobs
from ecrate.store.database import Row, Transaction

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows of `table`, known by the columns `keys`, that name a row of `parent`."""

    table: str
    keys: tuple[str, ...]
    parent: str
    join: str


@dataclass(frozen=True, slots=True)
class Count:
    """`column` of `table`, which is to be what `actual` counts; `label` names a row to people.
    `lock` takes as many of the keys as it needs to keep others from counting in a write.
    """

    table: str
    keys: tuple[str, ...]
    column: str
    actual: str
    label: str
    lock: str


_IMAGE: Final = "p.id = t.image_id AND p.repository_id = t.repository_id"
# In the order in which rows that point nowhere can be deleted.
RELATIONS: Final = (
    Relation("tags", ("repository_id", "tag"), "images", _IMAGE),
    Relation("image_layers", ("image_id", "blob_id"), "images", _IMAGE),
    Relation("image_layers", ("image_id", "blob_id"), "blobs", "p.id = t.blob_id"),
    Relation(
        "image_layers",
        ("image_id", "blob_id"),
        "layers",
        "p.repository_id = t.repository_id AND p.blob_id = t.blob_id",
    ),
    Relation("image_children", ("image_id", "child_id"), "images", "p.id = t.image_id"),
    Relation("image_children", ("image_id", "child_id"), "images", "p.id = t.child_id"),
    Relation("missing_references", ("image_id", "digest"), "images", _IMAGE),
    Relation("manifests", ("image_id",), "images", "p.id = t.image_id"),
    Relation("layers", ("repository_id", "blob_id"), "blobs", "p.id = t.blob_id"),
    Relation("layers", ("repository_id", "blob_id"), "repositories", "p.id = t.repository_id"),
)
_LOCK: Final = "UPDATE repositories SET image_count = image_count WHERE id = "
COUNTS: Final = (
    Count(
        table="layers",
        keys=("repository_id", "blob_id"),
        column="image_count",
        actual="SELECT count(*) FROM image_layers a "
        "WHERE a.repository_id = t.repository_id AND a.blob_id = t.blob_id",
        label="SELECT r.name || ' ' || b.digest FROM repositories r, blobs b "
        "WHERE r.id = t.repository_id AND b.id = t.blob_id",
        lock=f"{_LOCK}?",
    ),
    Count(
        table="images",
        keys=("id",),
        column="tag_count",
        actual="SELECT count(*) FROM tags a WHERE a.image_id = t.id",
        label="SELECT r.name || '@' || t.digest FROM repositories r WHERE r.id = t.repository_id",
        lock=f"{_LOCK}(SELECT repository_id FROM images WHERE id = ?)",  # noqa: S608 - a constant
    ),
    Count(
        table="repositories",
        keys=("id",),
        column="image_count",
        actual="SELECT count(*) FROM images a WHERE a.repository_id = t.id",
        label="t.name",
        lock=f"{_LOCK}?",
    ),
    Count(
        table="registries",
        keys=("id", "region"),
        column="repository_count",
        actual="SELECT count(*) FROM repositories a "
        "WHERE a.registry_id = t.id AND a.region = t.region",
        label="t.id || ' ' || t.region",
        lock="UPDATE registries SET repository_count = repository_count "
        "WHERE id = ? AND region = ?",
    ),
)


def count_rows(tx: Transaction, table: str) -> int:
    """Count the rows of one of our tables."""
    row = tx.one(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name from the tables above
    return int(row[0]) if row else 0


def list_relation(
    tx: Transaction, relation: Relation, after: Key, limit: int
) -> list[tuple[Key, bool]]:
    """Give keys of up to `limit` rows behind `after`, with whether each points nowhere."""
    keys = _columns(relation.keys)
    rows = tx.all(
        f"SELECT {keys}, NOT EXISTS (SELECT 1 FROM {relation.parent} p WHERE {relation.join}) "  # noqa: S608 - from the table above
        f"FROM {relation.table} t{_behind(relation.keys, after)} ORDER BY {keys} LIMIT ?",
        *after,
        limit,
    )
    return [(row[:-1], bool(row[-1])) for row in rows]


def points_nowhere(tx: Transaction, relation: Relation, key: Key) -> bool:
    """Tell whether there is such a row and it points nowhere."""
    found = tx.one(f"SELECT 1 FROM {relation.table} t WHERE {_lost(relation)}", *key)  # noqa: S608 - from the table above
    return found is not None


def delete_lost(tx: Transaction, relation: Relation, key: Key) -> bool:
    """Delete the row if it points nowhere; tell whether it did."""
    return bool(tx.run(f"DELETE FROM {relation.table} AS t WHERE {_lost(relation)}", *key))  # noqa: S608 - from the table above


def _lost(relation: Relation) -> str:
    return (
        f"{_equal(relation.keys)} AND NOT EXISTS (SELECT 1 FROM {relation.parent} p "  # noqa: S608 - from the table above
        f"WHERE {relation.join})"
    )


def list_counts(tx: Transaction, count: Count, after: Key, limit: int) -> list[tuple[Key, bool]]:
    """Give keys of up to `limit` rows behind `after`, with whether each is counted wrongly."""
    keys = _columns(count.keys)
    rows = tx.all(
        f"SELECT {keys}, t.{count.column} <> ({count.actual}) FROM {count.table} t"  # noqa: S608 - from the table above
        f"{_behind(count.keys, after)} ORDER BY {keys} LIMIT ?",
        *after,
        limit,
    )
    return [(row[:-1], bool(row[-1])) for row in rows]


def find_count(tx: Transaction, count: Count, key: Key) -> tuple[int, int, str] | None:
    """Give what is counted and what there is, and what the row is about."""
    row = tx.one(
        f"SELECT t.{count.column}, ({count.actual}), ({count.label}) FROM {count.table} t "  # noqa: S608 - from the table above
        f"WHERE {_equal(count.keys)}",
        *key,
    )
    return None if row is None else (row[0], row[1], row[2])


def recount(tx: Transaction, count: Count, key: Key) -> None:
    """Count again, in a write that nobody else's counting comes between."""
    tx.run(count.lock, *key[: count.lock.count("?")])
    tx.run(
        f"UPDATE {count.table} AS t SET {count.column} = ({count.actual}) "  # noqa: S608 - from the table above
        f"WHERE {_equal(count.keys)}",
        *key,
    )


def _columns(keys: Sequence[str]) -> str:
    return ", ".join(f"t.{key}" for key in keys)


def _behind(keys: Sequence[str], after: Key) -> str:
    places = ", ".join("?" * len(keys))
    return f" WHERE ({_columns(keys)}) > ({places})" if after else ""


def _equal(keys: Sequence[str]) -> str:
    return " AND ".join(f"t.{key} = ?" for key in keys)


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob. `is_lost`: its bytes are known to be gone or damaged; `is_forgotten`: nothing links
    it, and the collector does not know.
    """

    id: int
    digest: Digest
    key: str
    size: int
    is_lost: bool
    is_forgotten: bool


_BLOB: Final = (
    "SELECT b.id, b.digest, b.key, b.size, b.lost_at, "
    "NOT EXISTS (SELECT 1 FROM layers l WHERE l.blob_id = b.id) "
    "AND NOT EXISTS (SELECT 1 FROM unlinked_blobs u WHERE u.blob_id = b.id) FROM blobs b "
)


def list_blobs(tx: Transaction, after: int, limit: int) -> list[BlobRow]:
    """Give up to `limit` blobs in the order of their ids, those behind `after`."""
    rows = tx.all(f"{_BLOB} WHERE b.id > ? ORDER BY b.id LIMIT ?", after, limit)
    return [_blob(row) for row in rows]


def find_blob(tx: Transaction, blob_id: int) -> BlobRow | None:
    row = tx.one(f"{_BLOB} WHERE b.id = ?", blob_id)
    return None if row is None else _blob(row)


def _blob(row: Row) -> BlobRow:
    return BlobRow(row[0], Digest(row[1]), row[2], row[3], row[4] is not None, bool(row[5]))


def mark_lost(tx: Transaction, blob: BlobRow, now: float) -> bool:
    """Note that the blob's bytes are gone or damaged; tell whether the row was still so."""
    return bool(
        tx.run(
            "UPDATE blobs SET lost_at = ? WHERE id = ? AND key = ? AND lost_at IS NULL",
            now,
            blob.id,
            blob.key,
        )
    )


def mark_found(tx: Transaction, blob: BlobRow) -> bool:
    """Note that the blob's bytes are well; tell whether the row was still so."""
    return bool(
        tx.run(
            "UPDATE blobs SET lost_at = NULL WHERE id = ? AND key = ? AND lost_at IS NOT NULL",
            blob.id,
            blob.key,
        )
    )


def insert_lost_blob(
    tx: Transaction, digest: Digest, key: str, size: int, now: float
) -> int | None:
    """Make a blob whose bytes are not there, for those who need it; give its id, None where
    another transaction was first.
    """
    row = tx.one(
        "INSERT INTO blobs (digest, key, size, stored_at, lost_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (digest) DO NOTHING RETURNING id",
        digest.text,
        key,
        size,
        now,
        now,
    )
    return None if row is None else row[0]


def lock_blobs_of(tx: Transaction, digests: Sequence[str]) -> None:
    """Keep the links of the blobs of these digests as they are."""
    rows = [tx.one("SELECT id FROM blobs WHERE digest = ?", digest) for digest in digests]
    ids = sorted({row[0] for row in rows if row is not None})
    if ids:
        lock_blobs(tx, ids)


def remember_blob(tx: Transaction, blob_id: int) -> None:
    """Show the collector a blob that may have no links."""
    tx.run(
        "INSERT INTO unlinked_blobs (blob_id) SELECT id FROM blobs WHERE id = ? "
        "ON CONFLICT DO NOTHING",
        blob_id,
    )


# An image by where clients know it, or knew it before it was deleted.
_PLACE: Final = (
    "SELECT i.id, i.digest, coalesce(g.registry_id, o.registry_id, r.registry_id), "
    "coalesce(g.region, o.region, r.region), coalesce(g.name, o.name, r.name), "
    "r.registry_id = ? FROM images i JOIN repositories r ON r.id = i.repository_id "
    "LEFT JOIN trash_bins b ON b.bin_id = r.id LEFT JOIN repositories o ON o.id = b.repository_id "
    "LEFT JOIN trash_repositories g ON g.repository_id = coalesce(b.repository_id, r.id) "
)
_NEEDS: Final = (
    "SELECT n.image_id FROM layers l JOIN image_layers n "
    "ON n.repository_id = l.repository_id AND n.blob_id = l.blob_id WHERE l.blob_id = ?"
)


def list_images_with(tx: Transaction, blob_id: int, limit: int) -> tuple[list[DamagedImage], int]:
    """Give the first `limit` images that need the blob, and how many do."""
    rows = tx.all(
        f"{_PLACE} WHERE i.id IN ({_NEEDS}) ORDER BY i.id LIMIT ?", TRASH.id, blob_id, limit
    )
    count = tx.one(f"SELECT count(*) FROM ({_NEEDS}) AS needs", blob_id)  # noqa: S608 - a constant
    return [_damaged(tx, row) for row in rows], int(count[0]) if count else 0


def find_place(tx: Transaction, image_id: int) -> DamagedImage | None:
    """Give where clients know the image."""
    row = tx.one(f"{_PLACE} WHERE i.id = ?", TRASH.id, image_id)
    return None if row is None else _damaged(tx, row)


def _damaged(tx: Transaction, row: Row) -> DamagedImage:
    tags = tx.all("SELECT tag FROM tags WHERE image_id = ? ORDER BY tag", row[0])
    return DamagedImage(
        ref=RepositoryRef(RegistryRef(row[2], row[3]), row[4]),
        digest=Digest(row[1]),
        tags=[tag for (tag,) in tags],
        is_deleted=bool(row[5]),
    )


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image as its rows have it: digests of layers and children, and of what is missing of
    either. One that lies in the trash has no children there; `content` is the manifest.
    """

    id: int
    repository_id: int
    digest: Digest
    media_type: str
    subject: str | None
    manifest_size: int
    is_trashed: bool
    content: bytes | None
    layers: frozenset[str]
    children: frozenset[str]
    missing: frozenset[str]


_ROW: Final = (
    "SELECT i.id, i.repository_id, i.digest, i.media_type, i.subject, i.manifest_size, "
    "r.registry_id = ? FROM images i JOIN repositories r ON r.id = i.repository_id "
)
_LAYERS: Final = (
    "SELECT l.image_id, b.digest FROM image_layers l JOIN blobs b ON b.id = l.blob_id "
    "WHERE l.image_id BETWEEN ? AND ?"
)
_CHILDREN: Final = (
    "SELECT c.image_id, i.digest FROM image_children c JOIN images i ON i.id = c.child_id "
    "WHERE c.image_id BETWEEN ? AND ?"
)
_MISSING: Final = "SELECT image_id, digest FROM missing_references WHERE image_id BETWEEN ? AND ?"
_CONTENTS: Final = "SELECT image_id, content FROM manifests WHERE image_id BETWEEN ? AND ?"
_PAGE_BYTES: Final = 16 * 1024 * 1024


def list_images(tx: Transaction, after: int, limit: int) -> list[ImageRow]:
    """Give up to `limit` images in the order of their ids, those behind `after`; fewer where
    their manifests are large, but one at least if there is one.
    """
    rows = tx.all(f"{_ROW} WHERE i.id > ? ORDER BY i.id LIMIT ?", TRASH.id, after, limit)
    size = 0
    for count, row in enumerate(rows):
        size += row[5]
        if count and size > _PAGE_BYTES:
            del rows[count:]
            break
    if not rows:
        return []
    span = (rows[0][0], rows[-1][0])
    layers, children, missing = (
        _grouped(tx.all(sql, *span)) for sql in (_LAYERS, _CHILDREN, _MISSING)
    )
    contents = {image_id: bytes(content) for image_id, content in tx.all(_CONTENTS, *span)}
    return [
        ImageRow(
            id=row[0],
            repository_id=row[1],
            digest=Digest(row[2]),
            media_type=row[3],
            subject=row[4],
            manifest_size=row[5],
            is_trashed=bool(row[6]),
            content=contents.get(row[0]),
            layers=frozenset(layers[row[0]]),
            children=frozenset(children[row[0]]),
            missing=frozenset(missing[row[0]]),
        )
        for row in rows
    ]


def _grouped(rows: Sequence[Row]) -> dict[int, list[str]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for image_id, digest in rows:
        found[image_id].append(digest)
    return found


def find_image(tx: Transaction, image_id: int) -> ImageRow | None:
    found = list_images(tx, image_id - 1, 1)
    return found[0] if found and found[0].id == image_id else None


def list_copies(tx: Transaction, image: ImageRow) -> list[bytes]:
    """Give some documents that other repositories keep under the same digest."""
    rows = tx.all(
        "SELECT m.content FROM images i JOIN manifests m ON m.image_id = i.id "
        "WHERE i.digest = ? AND i.id <> ? LIMIT 5",
        image.digest.text,
        image.id,
    )
    return [bytes(row[0]) for row in rows]


def forget_references(tx: Transaction, image: ImageRow, now: float) -> None:
    """Take away all that the image refers to, so that it can be written anew."""
    tx.run(
        "UPDATE layers SET image_count = image_count - 1, touched_at = ? WHERE repository_id = ? "
        "AND blob_id IN (SELECT blob_id FROM image_layers WHERE image_id = ?)",
        now,
        image.repository_id,
        image.id,
    )
    for table in ("image_layers", "image_children", "missing_references"):
        tx.run(f"DELETE FROM {table} WHERE image_id = ?", image.id)  # noqa: S608 - names from above


def update_derived(tx: Transaction, image_id: int, subject: str | None, manifest_size: int) -> None:
    """Write what follows from the image's manifest."""
    tx.run(
        "UPDATE images SET subject = ?, manifest_size = ? WHERE id = ?",
        subject,
        manifest_size,
        image_id,
    )
