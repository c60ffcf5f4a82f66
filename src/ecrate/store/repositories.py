"""Rows of repositories and their resource tags."""

from __future__ import annotations

import json
from collections.abc import Collection

from ecrate.domain.errors import RepositoryAlreadyExists, RepositoryNotFound
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.repositories import (
    Encryption,
    Repository,
    RepositorySettings,
    TagMutability,
)
from ecrate.domain.trash import TRASH
from ecrate.domain.values import value
from ecrate.store.database import Row, Transaction
from ecrate.store.identities import find_registry_policy

_COLUMNS = (
    "id, name, created_at, tag_mutability, tag_mutability_filters, scan_on_push, "
    "encryption_type, kms_key, image_count, is_locked, has_gate"
)
# For one statement with more joined to it; `opened` makes the columns what they are.
OPENED_COLUMNS = (
    "r.id, r.name, r.created_at, r.tag_mutability, r.tag_mutability_filters, r.scan_on_push, "
    "r.encryption_type, r.kms_key, r.image_count, r.is_locked, r.has_gate, "
    "(SELECT document FROM repository_policies WHERE repository_id = r.id), "
    "(SELECT document FROM registry_policies p WHERE p.registry_id = r.registry_id "
    "AND p.region = r.region)"
)
OPENED_COUNT = 13
NAMED = "r.registry_id = ? AND r.region = ? AND r.name = ?"


@value
class Opened:
    """A repository by name, not yet authorized: itself, its policy and its registry's, each
    None where there is none.
    """

    repository: Repository | None
    policy: str | None
    registry_policy: str | None


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


def open_by_name(tx: Transaction, ref: RepositoryRef, *, locks: bool = True) -> Opened:
    """Ask for the repository and all policies at once: one statement instead of three saves
    some 20 microseconds of every request. In a write the repository is locked, unless without
    `locks`.
    """
    row = tx.one(
        f"SELECT {OPENED_COLUMNS} FROM repositories r "  # noqa: S608 - a constant
        f"WHERE {NAMED}{' FOR UPDATE' if locks else ''}",
        ref.registry.id,
        ref.registry.region,
        ref.name,
    )
    return opened(tx, ref, row)


def opened(tx: Transaction, ref: RepositoryRef, row: Row | None) -> Opened:
    """Read a row that begins with `OPENED_COLUMNS`, None where no repository has the name."""
    if row is None:
        return Opened(None, None, find_registry_policy(tx, ref.registry))
    return Opened(_repository(ref.registry, row[:11]), row[11], row[12])


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


def update_lock(tx: Transaction, repository_id: int, *, is_locked: bool) -> None:
    tx.run("UPDATE repositories SET is_locked = ? WHERE id = ?", int(is_locked), repository_id)


def list_locked_repositories(tx: Transaction) -> list[RepositoryRef]:
    """Give the locked repositories of all registries, in order."""
    rows = tx.all(
        "SELECT registry_id, region, name FROM repositories WHERE is_locked = 1 "
        "AND registry_id <> ? ORDER BY registry_id, region, name",
        TRASH.id,
    )
    return [RepositoryRef(RegistryRef(row[0], row[1]), row[2]) for row in rows]


def exists(tx: Transaction, repository_id: int) -> bool:
    """Tell whether this very repository is there and not in the trash."""
    return (
        tx.one(
            "SELECT 1 FROM repositories WHERE id = ? AND registry_id <> ?", repository_id, TRASH.id
        )
        is not None
    )


def _repository(registry: RegistryRef, row: Row) -> Repository:
    id_, name, created_at, mode, filters, scan_on_push, kind, kms_key, count, is_locked, gate = row
    return Repository(
        id=id_,
        ref=RepositoryRef(registry, name),
        created_at=created_at,
        tag_mutability=TagMutability(mode, tuple(json.loads(filters)) if filters != "[]" else ()),
        scan_on_push=bool(scan_on_push),
        encryption=Encryption(kind, kms_key),
        image_count=count,
        is_locked=bool(is_locked),
        has_gate=bool(gate),
    )
