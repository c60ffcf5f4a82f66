"""Rows of images, their manifests, tags and references."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ecrate.domain.images import Image, Manifest, Referrer, Storage
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.store.database import Row, Transaction
from ecrate.store.repositories import NAMED, OPENED_COLUMNS, OPENED_COUNT, Opened, opened

_COLUMNS = (
    "i.id, i.digest, i.media_type, i.artifact_media_type, i.size, i.pushed_at, i.last_pulled_at, "
    "i.subject, i.tag_count, i.status, i.archived_at, i.activated_at"
)
_COUNT = 12
_STEP = 500
_STATUS = {"TAGGED": " AND i.tag_count > 0", "UNTAGGED": " AND i.tag_count = 0", "ANY": ""}
# Of the storage class; each asks for the time once, see `domain.images.Storage`.
ACTIVE_IMAGE = "(i.status = 'ACTIVE' OR (i.status = 'ACTIVATING' AND i.activated_at <= ?))"
_STORAGE = {
    "ACTIVE": f" AND {ACTIVE_IMAGE}",
    "ARCHIVED": " AND i.status <> 'ACTIVE' AND i.status = 'ARCHIVED' AND ? IS NOT NULL",
    "ACTIVATING": " AND i.status <> 'ACTIVE' AND i.status = 'ACTIVATING' AND i.activated_at > ?",
    "ANY": " AND ? IS NOT NULL",
}

_OPEN_BY_TAG = (
    f"SELECT {OPENED_COLUMNS}, {_COLUMNS}, t.checked_at FROM repositories r "  # noqa: S608 - constants
    "LEFT JOIN tags t ON t.repository_id = r.id AND t.tag = ? "
    "LEFT JOIN images i ON i.id = t.image_id "
    f"WHERE {NAMED}"
)
_OPEN_BY_DIGEST = (
    f"SELECT {OPENED_COLUMNS}, {_COLUMNS} FROM repositories r "  # noqa: S608 - constants
    "LEFT JOIN images i ON i.repository_id = r.id AND i.digest = ? "
    f"WHERE {NAMED}"
)


@dataclass(frozen=True, slots=True)
class ImageReferences:
    """What an image needs: (blob id, media type) of its layers, ids of its children, and
    (digest, media type) of what its repository does not have.
    """

    layers: Sequence[tuple[int, str]]
    children: Sequence[int]
    missing_layers: Sequence[tuple[str, str]] = ()
    missing_children: Sequence[tuple[str, str]] = ()


def find_image(tx: Transaction, repository_id: int, digest: str) -> Image | None:
    row = tx.one(
        f"SELECT {_COLUMNS} FROM images i WHERE i.repository_id = ? AND i.digest = ?",  # noqa: S608 - constants
        repository_id,
        digest,
    )
    return None if row is None else _image(row)


def find_images(tx: Transaction, repository_id: int, digests: Sequence[str]) -> dict[str, Image]:
    """Give, by digest, those of the images that this repository has."""
    found: dict[str, Image] = {}
    for start in range(0, len(digests), _STEP):
        some = digests[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM images i "  # noqa: S608 - constants
            f"WHERE i.repository_id = ? AND i.digest IN ({marks})",
            repository_id,
            *some,
        )
        found.update((row[1], _image(row)) for row in rows)
    return found


def find_tagged_image(tx: Transaction, repository_id: int, tag: str) -> Image | None:
    row = tx.one(
        f"SELECT {_COLUMNS}, t.checked_at FROM tags t JOIN images i ON i.id = t.image_id "  # noqa: S608 - constants
        "WHERE t.repository_id = ? AND t.tag = ?",
        repository_id,
        tag,
    )
    return None if row is None else _image(row)


def find_image_by_id(tx: Transaction, image_id: int) -> Image:
    """Give an image that there is."""
    row = tx.one(f"SELECT {_COLUMNS} FROM images i WHERE i.id = ?", image_id)  # noqa: S608 - constants
    if row is None:
        raise LookupError(image_id)
    return _image(row)


def open_image(
    tx: Transaction, ref: RepositoryRef, image_id: ImageId
) -> tuple[Opened, Image | None]:
    """Ask for a repository with its policies, and for an image in it by tag, else by digest.

    One statement for all that a pull has to know; on PostgreSQL that is one round trip.
    """
    row = tx.one(
        _OPEN_BY_DIGEST if image_id.tag is None else _OPEN_BY_TAG,
        image_id.tag or (image_id.digest and image_id.digest.text),
        ref.registry.id,
        ref.registry.region,
        ref.name,
    )
    has_image = row is not None and row[OPENED_COUNT] is not None
    return opened(tx, ref, row), _image(row[OPENED_COUNT:]) if row and has_image else None


def read_manifest(tx: Transaction, image_id: int) -> bytes | None:
    """Give the document, None when the image is gone."""
    row = tx.one("SELECT content FROM manifests WHERE image_id = ?", image_id)
    return None if row is None else bytes(row[0])


def heal_manifest(tx: Transaction, image_id: int, content: bytes) -> bool:
    """Put the document in the place of one that was damaged; tell whether it was."""
    return bool(
        tx.run(
            "INSERT INTO manifests (image_id, content) VALUES (?, ?) "
            "ON CONFLICT (image_id) DO UPDATE SET content = excluded.content "
            "WHERE manifests.content <> excluded.content",
            image_id,
            content,
        )
    )


def insert_image(
    tx: Transaction,
    repository_id: int,
    manifest: Manifest,
    references: ImageReferences,
    *,
    size: int,
    now: float,
) -> int:
    """Store a manifest that is new to the repository, with all it refers to; give its id."""
    row = tx.one(
        "INSERT INTO images (repository_id, digest, media_type, artifact_media_type, size, "
        "pushed_at, subject, annotations, manifest_size) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        repository_id,
        manifest.digest.text,
        manifest.media_type,
        manifest.artifact_media_type,
        size,
        now,
        None if manifest.subject is None else manifest.subject.text,
        # Kept apart from the document only where lists of referrers need them.
        None if manifest.subject is None else json.dumps(manifest.annotations),
        len(manifest.content),
    )
    image_id = int(row[0]) if row else 0
    tx.run("INSERT INTO manifests (image_id, content) VALUES (?, ?)", image_id, manifest.content)
    insert_references(tx, repository_id, image_id, manifest.digest, references)
    return image_id


def insert_references(
    tx: Transaction,
    repository_id: int,
    image_id: int,
    digest: Digest,
    references: ImageReferences,
) -> None:
    """Let an image that is new to the repository refer to what it needs, and others to it."""
    tx.many(
        "INSERT INTO image_layers (image_id, repository_id, blob_id, media_type) "
        "VALUES (?, ?, ?, ?)",
        [(image_id, repository_id, blob, media_type) for blob, media_type in references.layers],
    )
    if references.layers:
        tx.run(
            "UPDATE layers SET image_count = image_count + 1 WHERE repository_id = ? "
            "AND blob_id IN (SELECT blob_id FROM image_layers WHERE image_id = ?)",
            repository_id,
            image_id,
        )
    tx.many(
        "INSERT INTO image_children (image_id, child_id) VALUES (?, ?)",
        [(image_id, child_id) for child_id in references.children],
    )
    tx.many(
        "INSERT INTO missing_references (image_id, repository_id, digest, media_type, is_child) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            *((image_id, repository_id, *one, 0) for one in references.missing_layers),
            *((image_id, repository_id, *one, 1) for one in references.missing_children),
        ],
    )
    _adopt(tx, repository_id, digest.text, image_id)
    tell_referrers(tx, repository_id, digest.text, is_lost=False)


def _adopt(tx: Transaction, repository_id: int, digest: str, image_id: int) -> None:
    """Make indexes that came before this image refer to it."""
    waiting = tx.all(
        "DELETE FROM missing_references WHERE repository_id = ? AND digest = ? "
        "AND is_child = 1 RETURNING image_id",
        repository_id,
        digest,
    )
    tx.many(
        "INSERT INTO image_children (image_id, child_id) VALUES (?, ?)",
        [(index_id, image_id) for (index_id,) in waiting],
    )


def delete_image(tx: Transaction, repository_id: int, image_id: int, now: float) -> None:
    """Take an image away with its tags; its layers begin a grace period."""
    tx.run(
        "UPDATE layers SET image_count = image_count - 1, touched_at = ? WHERE repository_id = ? "
        "AND blob_id IN (SELECT blob_id FROM image_layers WHERE image_id = ?)",
        now,
        repository_id,
        image_id,
    )
    tx.run("DELETE FROM tags WHERE image_id = ?", image_id)
    gone = tx.one("DELETE FROM images WHERE id = ? RETURNING digest", image_id)
    if gone is not None:
        tell_referrers(tx, repository_id, gone[0], is_lost=True)


def tell_referrers(tx: Transaction, repository_id: int, digest: str, *, is_lost: bool) -> None:
    """Note whether the subject of these images was taken away; one may also never have come."""
    tx.run(
        "UPDATE images SET has_lost_subject = ? WHERE repository_id = ? AND subject = ?",
        int(is_lost),
        repository_id,
        digest,
    )


def put_tag(
    tx: Transaction, repository_id: int, tag: str, image_id: int, *, before: Image | None
) -> int:
    """Point the tag at the image, away from `before`; give how many tags the image has now."""
    if before is not None:
        tx.run("UPDATE images SET tag_count = tag_count - 1 WHERE id = ?", before.id)
    tx.run(
        "INSERT INTO tags (repository_id, tag, image_id) VALUES (?, ?, ?) "
        "ON CONFLICT (repository_id, tag) DO UPDATE SET image_id = excluded.image_id, "
        "checked_at = NULL, etag = NULL",
        repository_id,
        tag,
        image_id,
    )
    row = tx.one(
        "UPDATE images SET tag_count = tag_count + 1 WHERE id = ? RETURNING tag_count", image_id
    )
    return int(row[0]) if row else 0


def delete_tag(tx: Transaction, repository_id: int, tag: str, image_id: int) -> None:
    tx.run("DELETE FROM tags WHERE repository_id = ? AND tag = ?", repository_id, tag)
    tx.run("UPDATE images SET tag_count = tag_count - 1 WHERE id = ?", image_id)


def list_tags_of_image(tx: Transaction, image_id: int) -> list[str]:
    rows = tx.all("SELECT tag FROM tags WHERE image_id = ? ORDER BY tag", image_id)
    return [row[0] for row in rows]


def list_tags(
    tx: Transaction, repository_id: int, after: str, limit: int, *, now: float
) -> list[str]:
    """Give up to `limit` tags of active images in lexical order, those behind `after`."""
    rows = tx.all(
        "SELECT t.tag FROM tags t JOIN images i ON i.id = t.image_id "  # noqa: S608 - a constant
        f"WHERE t.repository_id = ? AND t.tag > ? AND {ACTIVE_IMAGE} ORDER BY t.tag LIMIT ?",
        repository_id,
        after,
        now,
        limit,
    )
    return [row[0] for row in rows]


def list_images(
    tx: Transaction,
    repository_id: int,
    status: str,
    after: int,
    limit: int,
    *,
    storage: str = "ANY",
    now: float = 0.0,
) -> list[Image]:
    """Give up to `limit` images in the order they came, those behind the id `after`.

    `status` is TAGGED, UNTAGGED or ANY; `storage` ACTIVE, ARCHIVED, ACTIVATING or ANY, as it is
    at the time `now`.
    """
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM images i WHERE i.repository_id = ? AND i.id > ?"  # noqa: S608 - constants
        f"{_STATUS[status]}{_STORAGE[storage]} ORDER BY i.id LIMIT ?",
        repository_id,
        after,
        now,
        limit,
    )
    return [_image(row) for row in rows]


def list_image_ids(
    tx: Transaction,
    repository_id: int,
    status: str,
    after: tuple[int, str],
    limit: int,
    *,
    storage: str,
    now: float,
) -> list[tuple[int, str, str | None]]:
    """Give (id, digest, tag) for each tag, and once without a tag for an untagged image."""
    if status == "UNTAGGED":
        found = list_images(tx, repository_id, status, after[0], limit, storage=storage, now=now)
        return [(image.id, image.digest.text, None) for image in found]
    return [
        (row[0], row[1], row[2])
        for row in tx.all(
            "SELECT i.id, i.digest, t.tag FROM images i LEFT JOIN tags t ON t.image_id = i.id "  # noqa: S608 - constants
            "WHERE i.repository_id = ? AND i.id >= ? AND (i.id > ? OR t.tag > ?)"
            f"{_STATUS[status]}{_STORAGE[storage]} ORDER BY i.id, t.tag LIMIT ?",
            repository_id,
            after[0],
            after[0],
            after[1],
            now,
            limit,
        )
    ]


def list_indexes_of(tx: Transaction, image_id: int) -> list[str]:
    """Give the digests of the indexes that list this image."""
    rows = tx.all(
        "SELECT i.digest FROM image_children c JOIN images i ON i.id = c.image_id "
        "WHERE c.child_id = ? ORDER BY i.id",
        image_id,
    )
    return [row[0] for row in rows]


def list_referrers(
    tx: Transaction,
    repository_id: int,
    subject: str,
    *,
    artifact_types: Sequence[str],
    storage: str,
    after: int,
    limit: int,
    now: float,
) -> list[Referrer]:
    """Give up to `limit` images whose subject this is, in the order they came, those behind the
    id `after`; of these artifact types only, unless there are none.
    """
    places = ", ".join("?" * len(artifact_types))
    rows = tx.all(
        "SELECT i.id, i.digest, i.media_type, i.manifest_size, i.artifact_media_type, "  # noqa: S608 - constants
        "i.annotations, i.status, i.archived_at, i.activated_at "
        "FROM images i WHERE i.repository_id = ? AND i.subject = ? AND i.id > ?"
        f"{_STORAGE[storage]}"
        f"{f' AND i.artifact_media_type IN ({places})' if artifact_types else ''} "
        "ORDER BY i.id LIMIT ?",
        repository_id,
        subject,
        after,
        now,
        *artifact_types,
        limit,
    )
    return [
        Referrer(
            row[0],
            Digest(row[1]),
            row[2],
            row[3],
            row[4],
            json.loads(row[5] or "{}"),
            Storage(row[6], row[7], row[8]),
        )
        for row in rows
    ]


def update_storage(tx: Transaction, image_id: int, storage: Storage) -> None:
    tx.run(
        "UPDATE images SET status = ?, archived_at = ?, activated_at = ? WHERE id = ?",
        storage.status,
        storage.archived_at,
        storage.activated_at,
        image_id,
    )


def list_children(tx: Transaction, image_id: int) -> list[Image]:
    """Give the images that this index lists."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM image_children c JOIN images i ON i.id = c.child_id "  # noqa: S608 - constants
        "WHERE c.image_id = ? ORDER BY i.id",
        image_id,
    )
    return [_image(row) for row in rows]


def is_listed_by_active(tx: Transaction, image_id: int) -> bool:
    """Tell whether an index that is not archived lists this image."""
    return (
        tx.one(
            "SELECT 1 FROM image_children c JOIN images i ON i.id = c.image_id "
            "WHERE c.child_id = ? AND i.status <> 'ARCHIVED' LIMIT 1",
            image_id,
        )
        is not None
    )


def record_pull(tx: Transaction, image_id: int, now: float) -> None:
    tx.run("UPDATE images SET last_pulled_at = ? WHERE id = ?", now, image_id)


def _image(row: Row) -> Image:
    """Read a row of `_COLUMNS`, and of a tag's `checked_at` where the image was found by one."""
    return Image(
        id=row[0],
        digest=Digest(row[1]),
        media_type=row[2],
        artifact_media_type=row[3],
        size=row[4],
        pushed_at=row[5],
        last_pulled_at=row[6],
        subject=row[7],
        tag_count=row[8],
        storage=Storage(row[9], row[10], row[11]),
        checked_at=row[12] if len(row) > _COUNT else None,
    )
