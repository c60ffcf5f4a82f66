"""Rows of repositories and their resource tags."""

from __future__ import annotations

import json
from collections.abc import Collection

from ecrate.domain.errors import RepositoryAlreadyExists, RepositoryNotFound
from ecrate.domain.images import Image
from ecrate.domain.names import ImageId, RegistryRef, RepositoryRef
from ecrate.domain.repositories import (
    Encryption,
    Repository,
    RepositorySettings,
    TagMutability,
)
from ecrate.store.database import Row, Transaction
from ecrate.store.identities import find_registry_policy
from ecrate.store.images import IMAGE_COLUMNS, image_of
from ecrate.store.layers import insert_garbage, note_unlinked

_COLUMNS = (
    "id, name, created_at, tag_mutability, tag_mutability_filters, scan_on_push, "
    "encryption_type, kms_key, image_count"
)
_WITH_POLICIES = (
    f"r.{_COLUMNS.replace(', ', ', r.')}, "  # noqa: S608 - a constant
    "(SELECT document FROM repository_policies WHERE repository_id = r.id), "
    "(SELECT document FROM registry_policies WHERE registry_id = ? AND region = ?)"
)
_WIDTH = _COLUMNS.count(",") + 3
_DIGEST = "LEFT JOIN images i ON i.repository_id = r.id AND i.digest = ?"
_TAG = (
    "LEFT JOIN tags t ON t.repository_id = r.id AND t.tag = ? "
    "LEFT JOIN images i ON i.id = t.image_id"
)

# The repository, its policy, and the registry's policy.
Found = tuple[Repository | None, str | None, str | None]


def insert_repository(
    tx: Transaction, ref: RepositoryRef, settings: RepositorySettings, now: float
) -> Repository:
    """Raise `RepositoryAlreadyExists` when the name is taken; the transaction may go on."""
    mutability, encryption = settings.tag_mutability, settings.encryption
    row = tx.one(
        "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "  # noqa: S608 - a constant
        "tag_mutability_filters, scan_on_push, encryption_type, kms_key) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (registry_id, region, name) DO NOTHING "
        f"RETURNING {_COLUMNS}",
        ref.registry.id,
        ref.registry.region,
        ref.name,
        now,
        mutability.mode,
        json.dumps(mutability.filters),
        int(settings.scan_on_push),
        encryption.type,
        encryption.kms_key,
    )
    if row is None:
        raise RepositoryAlreadyExists(ref.name, ref.registry.id)
    repository = _repository(ref.registry, row)
    tx.many(
        "INSERT INTO resource_tags (repository_id, key, value) VALUES (?, ?, ?)",
        [(repository.id, key, value) for key, value in settings.resource_tags],
    )
    return repository


def find_repository(tx: Transaction, ref: RepositoryRef) -> Repository:
    """Give the repository, locked in a write; raises `RepositoryNotFound` when there is none of
    this name.
    """
    row = tx.one(
        f"SELECT {_COLUMNS} FROM repositories "  # noqa: S608 - a constant
        "WHERE registry_id = ? AND region = ? AND name = ? FOR UPDATE",
        ref.registry.id,
        ref.registry.region,
        ref.name,
    )
    if row is None:
        raise RepositoryNotFound(ref.name, ref.registry.id)
    return _repository(ref.registry, row)


def lock_repositories(tx: Transaction, ids: Collection[int]) -> list[int]:
    """Lock those of these repositories that there are, and give their ids."""
    marks = ", ".join("?" * len(ids))
    rows = tx.all(
        f"SELECT id FROM repositories WHERE id IN ({marks}) ORDER BY id FOR UPDATE",  # noqa: S608 - places
        *ids,
    )
    return [row[0] for row in rows]


def find_repository_with_policies(
    tx: Transaction, ref: RepositoryRef, *, locks: bool = True
) -> Found:
    """Give the repository, its policy and the registry's, each None where there is none.

    In a write the repository is locked, unless without `locks`. One statement instead of three
    saves some 20 microseconds of every request, and two ways to a server.
    """
    registry = ref.registry
    row = tx.one(
        f"SELECT {_WITH_POLICIES} FROM repositories r "  # noqa: S608 - constants
        "WHERE r.registry_id = ? AND r.region = ? AND r.name = ?"
        f"{' FOR UPDATE' if locks else ''}",
        *(registry.id, registry.region) * 2,
        ref.name,
    )
    return _found(tx, registry, row)


def find_repository_with_image(
    tx: Transaction, ref: RepositoryRef, image_id: ImageId
) -> tuple[Found, Image | None]:
    """Give what `find_repository_with_policies` gives, and the image that the tag is at, or
    without a tag that of the digest: what a pull asks for, in one statement.
    """
    registry = ref.registry
    image, name = (
        (_DIGEST, image_id.digest and image_id.digest.text)
        if image_id.tag is None
        else (_TAG, image_id.tag)
    )
    row = tx.one(
        f"SELECT {_WITH_POLICIES}, {IMAGE_COLUMNS} FROM repositories r {image} "  # noqa: S608 - constants
        "WHERE r.registry_id = ? AND r.region = ? AND r.name = ?",
        registry.id,
        registry.region,
        name,
        registry.id,
        registry.region,
        ref.name,
    )
    if row is None:
        return _found(tx, registry, None), None
    mine, its = row[:_WIDTH], row[_WIDTH:]
    return _found(tx, registry, mine), None if its[0] is None else image_of(its)


def _found(tx: Transaction, registry: RegistryRef, row: Row | None) -> Found:
    if row is None:
        return None, None, find_registry_policy(tx, registry)
    return _repository(registry, row[:-2]), row[-2], row[-1]


def list_repositories(
    tx: Transaction, registry: RegistryRef, after: str, limit: int
) -> list[Repository]:
    """Give up to `limit` repositories in order of name, those behind `after`."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM repositories "  # noqa: S608 - a constant
        "WHERE registry_id = ? AND region = ? AND name > ? ORDER BY name LIMIT ?",
        registry.id,
        registry.region,
        after,
        limit,
    )
    return [_repository(registry, row) for row in rows]


def update_tag_mutability(tx: Transaction, repository_id: int, mutability: TagMutability) -> None:
    tx.run(
        "UPDATE repositories SET tag_mutability = ?, tag_mutability_filters = ? WHERE id = ?",
        mutability.mode,
        json.dumps(mutability.filters),
        repository_id,
    )


def update_scan_on_push(tx: Transaction, repository_id: int, *, scan_on_push: bool) -> None:
    tx.run(
        "UPDATE repositories SET scan_on_push = ? WHERE id = ?", int(scan_on_push), repository_id
    )


def add_to_image_count(tx: Transaction, repository_id: int, change: int) -> int:
    """Change the count and give the new one; locks the row until the transaction ends."""
    row = tx.one(
        "UPDATE repositories SET image_count = image_count + ? WHERE id = ? RETURNING image_count",
        change,
        repository_id,
    )
    return int(row[0]) if row else 0


def count_repository(tx: Transaction, registry: RegistryRef, change: int) -> int:
    """Lock the registry, change its count of repositories and give the new one."""
    row = tx.one(
        "INSERT INTO registries (id, region, repository_count) VALUES (?, ?, ?) "
        "ON CONFLICT (id, region) DO UPDATE "
        "SET repository_count = registries.repository_count + excluded.repository_count "
        "RETURNING repository_count",
        registry.id,
        registry.region,
        change,
    )
    return int(row[0]) if row else 0


def lock_registry(tx: Transaction, registry: RegistryRef) -> None:
    """Keep what belongs to the registry as it is for this transaction."""
    count_repository(tx, registry, 0)


def delete_repository(tx: Transaction, repository_id: int, now: float) -> None:
    """Take away the repository, which is locked, with all it holds; its bytes become the
    collector's.
    """
    uploads = tx.all(
        "SELECT id, size, completed_digest FROM uploads WHERE repository_id = ? "
        "ORDER BY id FOR UPDATE",
        repository_id,
    )
    insert_garbage(tx, [(row[0], None, row[1]) for row in uploads if row[2] is None], now)
    blobs = tx.all("SELECT blob_id FROM layers WHERE repository_id = ?", repository_id)
    note_unlinked(tx, [row[0] for row in blobs])
    tx.run(
        "DELETE FROM image_children "
        "WHERE image_id IN (SELECT id FROM images WHERE repository_id = ?)",
        repository_id,
    )
    tx.run("DELETE FROM image_layers WHERE repository_id = ?", repository_id)
    tx.run("DELETE FROM uploads WHERE repository_id = ?", repository_id)
    tx.run("DELETE FROM tags WHERE repository_id = ?", repository_id)
    tx.run("DELETE FROM images WHERE repository_id = ?", repository_id)
    tx.run("DELETE FROM layers WHERE repository_id = ?", repository_id)
    tx.run("DELETE FROM repositories WHERE id = ?", repository_id)


def _repository(registry: RegistryRef, row: Row) -> Repository:
    id_, name, created_at, mode, filters, scan_on_push, encryption_type, kms_key, count = row
    return Repository(
        id=id_,
        ref=RepositoryRef(registry, name),
        created_at=created_at,
        tag_mutability=TagMutability(mode, tuple(json.loads(filters)) if filters != "[]" else ()),
        scan_on_push=bool(scan_on_push),
        encryption=Encryption(encryption_type, kms_key),
        image_count=count,
    )
