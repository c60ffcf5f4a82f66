"""Rows on their way into the trash, back, and out of it.

What was deleted lies in repositories of the registry `domain.trash.TRASH`: a deleted repository
as it was, a deleted image in the bin of the repository it was deleted from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ecrate.domain.errors import RepositoryAlreadyExists
from ecrate.domain.images import Image
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.domain.trash import TRASH, Origin, TrashedImage, TrashedRepository
from ecrate.store.database import ConstraintError, Row, Transaction
from ecrate.store.images import ImageReferences, delete_image, insert_references, tell_referrers
from ecrate.store.layers import end_uploads
from ecrate.store.repositories import add_to_image_count, lock_repositories

_REPOSITORY = (
    "SELECT t.repository_id, t.registry_id, t.region, t.name, r.image_count, t.deleted_at, "
    "t.kept_until FROM trash_repositories t JOIN repositories r ON r.id = t.repository_id "
)
# Of a deleted repository's deleted images, only those that come back with it.
_IMAGE = (
    "SELECT t.image_id, b.bin_id, b.repository_id, coalesce(g.registry_id, r.registry_id), "
    "coalesce(g.region, r.region), coalesce(g.name, r.name), i.digest, i.media_type, i.size, "
    "i.status, t.tags, t.deleted_at, t.kept_until "
    "FROM trash_images t JOIN images i ON i.id = t.image_id "
    "JOIN trash_bins b ON b.bin_id = i.repository_id JOIN repositories r ON r.id = b.repository_id "
    "LEFT JOIN trash_repositories g ON g.repository_id = b.repository_id "
    "WHERE t.kept_until > ? AND (g.kept_until IS NULL OR g.kept_until > ?) "
)


def put_repository(tx: Transaction, repository_id: int, now: float, kept_until: float) -> None:
    """Take a repository out of its registry, at the same cost whatever images it holds. Its
    uploads and its preview end, and its lifecycle policy rests.
    """
    end_uploads(tx, repository_id, now)
    tx.run("DELETE FROM lifecycle_previews WHERE repository_id = ?", repository_id)
    policy = tx.one(
        "DELETE FROM lifecycle_policies WHERE repository_id = ? RETURNING policy", repository_id
    )
    tx.run(
        "INSERT INTO trash_repositories (repository_id, registry_id, region, name, "
        "lifecycle_policy, deleted_at, kept_until) "
        "SELECT id, registry_id, region, name, ?, ?, ? FROM repositories WHERE id = ?",
        None if policy is None else policy[0],
        now,
        kept_until,
        repository_id,
    )
    _rename(tx, repository_id, RepositoryRef(TRASH, str(repository_id)))


def take_repository(
    tx: Transaction, ref: RepositoryRef, repository_id: int | None, now: float
) -> tuple[int, str | None] | None:
    """Give id and lifecycle policy of the repository of this name and id, without one of that
    deleted last, and make it nobody's; None where there is none to be had. `place_repository` it.
    """
    row = tx.one(
        "DELETE FROM trash_repositories WHERE kept_until > ? AND repository_id = ("
        "SELECT repository_id FROM trash_repositories WHERE registry_id = ? AND region = ? "
        "AND name = ? AND kept_until > ? AND coalesce(?, repository_id) = repository_id "
        "ORDER BY deleted_at DESC, repository_id DESC LIMIT 1) "
        "RETURNING repository_id, lifecycle_policy",
        now,
        ref.registry.id,
        ref.registry.region,
        ref.name,
        now,
        repository_id,
    )
    return None if row is None else (row[0], row[1])


def place_repository(tx: Transaction, repository_id: int, ref: RepositoryRef) -> None:
    """Let it be the repository `ref`; raises `RepositoryAlreadyExists`."""
    try:
        _rename(tx, repository_id, ref)
    except ConstraintError:
        raise RepositoryAlreadyExists(ref.name, ref.registry.id) from None


def _rename(tx: Transaction, repository_id: int, ref: RepositoryRef) -> None:
    tx.run(
        "UPDATE repositories SET registry_id = ?, region = ?, name = ? WHERE id = ?",
        ref.registry.id,
        ref.registry.region,
        ref.name,
        repository_id,
    )


def put_image(
    tx: Transaction, repository_id: int, image: Image, now: float, kept_until: float
) -> None:
    """Take an image that no index lists out of its repository, which is locked, with its tags.
    Its layers there begin a grace period; an earlier copy of it in the trash makes way.
    """
    bin_id = _bin_of(tx, repository_id, now)
    earlier = tx.one(
        "SELECT id FROM images WHERE repository_id = ? AND digest = ?", bin_id, image.digest.text
    )
    if earlier is not None:
        delete_image_for_good(tx, earlier[0], bin_id)
    tx.run(
        "INSERT INTO layers (repository_id, blob_id, touched_at, image_count) "
        "SELECT ?, blob_id, 0.0, 1 FROM image_layers WHERE image_id = ? "
        "ON CONFLICT (repository_id, blob_id) DO UPDATE SET image_count = layers.image_count + 1",
        bin_id,
        image.id,
    )
    _release_layers(tx, repository_id, image.id, now)
    tx.run("UPDATE image_layers SET repository_id = ? WHERE image_id = ?", bin_id, image.id)
    tx.run("UPDATE missing_references SET repository_id = ? WHERE image_id = ?", bin_id, image.id)
    tx.run("DELETE FROM image_children WHERE image_id = ?", image.id)
    tags = [row[0] for row in tx.all("DELETE FROM tags WHERE image_id = ? RETURNING tag", image.id)]
    tx.run("UPDATE images SET repository_id = ?, tag_count = 0 WHERE id = ?", bin_id, image.id)
    tx.run(
        "INSERT INTO trash_images (image_id, tags, deleted_at, kept_until) VALUES (?, ?, ?, ?)",
        image.id,
        json.dumps(sorted(tags)),
        now,
        kept_until,
    )
    add_to_image_count(tx, bin_id, 1)
    tell_referrers(tx, repository_id, image.digest.text, is_lost=True)


def _bin_of(tx: Transaction, repository_id: int, now: float) -> int:
    """Give the id of the repository's bin, making it the first time."""
    found = lock_bin(tx, repository_id)
    if found is not None:
        return found
    row = tx.one(
        "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "
        "tag_mutability_filters, scan_on_push, encryption_type) "
        "VALUES (?, ?, ?, ?, 'MUTABLE', '[]', 0, 'AES256') RETURNING id",
        TRASH.id,
        TRASH.region,
        f"bin of {repository_id}",
        now,
    )
    bin_id = int(row[0]) if row else 0
    tx.run("INSERT INTO trash_bins (repository_id, bin_id) VALUES (?, ?)", repository_id, bin_id)
    return bin_id


def lock_bin(tx: Transaction, repository_id: int) -> int | None:
    """Lock the bin of a repository that is locked, and give its id, None where there is none yet.

    A bin comes after its repository, so this keeps the order of the locks.
    """
    bin_id = find_bin(tx, repository_id)
    if bin_id is not None:
        lock_repositories(tx, [bin_id])
    return bin_id


def find_bin(tx: Transaction, repository_id: int) -> int | None:
    row = tx.one("SELECT bin_id FROM trash_bins WHERE repository_id = ?", repository_id)
    return None if row is None else int(row[0])


def _release_layers(tx: Transaction, repository_id: int, image_id: int, touched_at: float) -> None:
    tx.run(
        "UPDATE layers SET image_count = image_count - 1, touched_at = ? WHERE repository_id = ? "
        "AND blob_id IN (SELECT blob_id FROM image_layers WHERE image_id = ?)",
        touched_at,
        repository_id,
        image_id,
    )


def find_image(tx: Transaction, repository_id: int, digest: str, now: float) -> TrashedImage | None:
    """Give the image if it was deleted from this repository and is still to be had."""
    row = tx.one(
        f"{_IMAGE} AND b.repository_id = ? AND i.digest = ?", now, now, repository_id, digest
    )
    return None if row is None else _image(row)


def list_image_layers(tx: Transaction, image_id: int) -> list[int]:
    """Give the ids of the blobs that the image needs."""
    rows = tx.all("SELECT blob_id FROM image_layers WHERE image_id = ?", image_id)
    return [row[0] for row in rows]


def list_missing_references(tx: Transaction, image_id: int) -> set[str]:
    """Give the digests of what the image did without where it was."""
    rows = tx.all("SELECT digest FROM missing_references WHERE image_id = ?", image_id)
    return {row[0] for row in rows}


def lock_images(tx: Transaction, ids: Sequence[int]) -> None:
    """Keep the images from being given up meanwhile."""
    marks = ", ".join("?" * len(ids))
    tx.all(
        f"SELECT image_id FROM trash_images WHERE image_id IN ({marks}) "  # noqa: S608 - places
        "ORDER BY image_id FOR UPDATE",
        *ids,
    )


def take_image(tx: Transaction, image: TrashedImage, now: float) -> bool:
    """Make the image nobody's, with nothing that it refers to; tell whether it was still to be
    had. `place_image` it.
    """
    if not tx.run("DELETE FROM trash_images WHERE image_id = ? AND kept_until > ?", image.id, now):
        return False
    _release_layers(tx, image.bin_id, image.id, 0.0)
    tx.run("DELETE FROM image_layers WHERE image_id = ?", image.id)
    tx.run("DELETE FROM missing_references WHERE image_id = ?", image.id)
    add_to_image_count(tx, image.bin_id, -1)
    return True


def place_image(tx: Transaction, image: TrashedImage, references: ImageReferences) -> None:
    """Let it be an image of the repository it was deleted from, without tags."""
    tx.run(
        "UPDATE images SET repository_id = ?, has_lost_subject = 0 WHERE id = ?",
        image.repository_id,
        image.id,
    )
    insert_references(tx, image.repository_id, image.id, image.digest, references)


def list_repositories(
    tx: Transaction, origin: Origin, *, after: int, limit: int, now: float
) -> list[TrashedRepository]:
    """Give up to `limit` deleted repositories in the order of their ids, those behind `after`."""
    where, values = _came_from(origin, "t.registry_id", "t.region", "t.name")
    rows = tx.all(
        f"{_REPOSITORY} WHERE t.kept_until > ? AND t.repository_id > ?{where} "
        "ORDER BY t.repository_id LIMIT ?",
        now,
        after,
        *values,
        limit,
    )
    return [
        TrashedRepository(row[0], RepositoryRef(RegistryRef(row[1], row[2]), row[3]), *row[4:])
        for row in rows
    ]


def list_images(
    tx: Transaction, origin: Origin, *, after: int, limit: int, now: float
) -> list[TrashedImage]:
    """Give up to `limit` deleted images in the order of their ids, those behind `after`."""
    where, values = _came_from(
        origin,
        "coalesce(g.registry_id, r.registry_id)",
        "coalesce(g.region, r.region)",
        "coalesce(g.name, r.name)",
    )
    rows = tx.all(
        f"{_IMAGE} AND t.image_id > ?{where} ORDER BY t.image_id LIMIT ?",
        now,
        now,
        after,
        *values,
        limit,
    )
    return [_image(row) for row in rows]


def _came_from(origin: Origin, account: str, region: str, name: str) -> tuple[str, Sequence[str]]:
    """Give the condition on these columns, and its values."""
    if origin.ref is not None:
        registry = origin.ref.registry
        where = f" AND {account} = ? AND {region} = ? AND {name} = ?"
        return where, (registry.id, registry.region, origin.ref.name)
    if origin.registry_id is not None:
        return f" AND {account} = ?", (origin.registry_id,)
    return "", ()


def _image(row: Row) -> TrashedImage:
    return TrashedImage(
        id=row[0],
        bin_id=row[1],
        repository_id=row[2],
        ref=RepositoryRef(RegistryRef(row[3], row[4]), row[5]),
        digest=Digest(row[6]),
        media_type=row[7],
        size=row[8],
        is_archived=row[9] == "ARCHIVED",
        tags=tuple(json.loads(row[10])),
        deleted_at=row[11],
        kept_until=row[12],
    )


def delete_image_for_good(tx: Transaction, image_id: int, bin_id: int) -> None:
    """Drop a deleted image; its layers in the bin lapse at once."""
    delete_image(tx, bin_id, image_id, 0.0)
    add_to_image_count(tx, bin_id, -1)


def give_up_repositories(tx: Transaction, ids: Sequence[int]) -> int:
    """Let the repositories not be restored any more; give how many still could."""
    return sum(
        tx.run(
            "UPDATE trash_repositories SET kept_until = 0 "
            "WHERE repository_id = ? AND kept_until > 0",
            one,
        )
        for one in ids
    )


def give_up_images(tx: Transaction, ids: Sequence[int]) -> int:
    """Let the images not be restored any more; give how many still could."""
    return sum(
        tx.run("UPDATE trash_images SET kept_until = 0 WHERE image_id = ? AND kept_until > 0", one)
        for one in ids
    )
