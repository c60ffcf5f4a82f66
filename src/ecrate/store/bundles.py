"""What a registry has, in order, for bundles; and which bundles it has taken over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from ecrate.domain.images import INDEX_TYPES
from ecrate.domain.names import RegistryRef
from ecrate.store.database import Row, Transaction

_PAGE = 500
_OF_REGISTRY = "r.registry_id = ? AND r.region = ?"
# Kinds of policies in the order of their names, and the statements that give repository and text.
_POLICIES = (
    ("lifecycle", "SELECT r.name, p.policy FROM lifecycle_policies p"),
    ("pull-gate", "SELECT r.name, p.mode, p.conditions FROM pull_gates p"),
    ("repository", "SELECT r.name, p.document FROM repository_policies p"),
)


@dataclass(frozen=True, slots=True)
class AppliedBundle:
    """The last bundle taken over from a source; where it is not done, it was broken off."""

    bundle_id: str
    created_at: float
    is_done: bool


def list_repositories(tx: Transaction, registry: RegistryRef) -> Iterator[Row]:
    """Give name and settings of all repositories, by name."""
    after = ""
    while rows := tx.all(
        "SELECT r.name, r.tag_mutability, r.tag_mutability_filters, r.scan_on_push, "  # noqa: S608 - constants
        "r.encryption_type, r.kms_key, r.id FROM repositories r "
        f"WHERE {_OF_REGISTRY} AND r.name > ? ORDER BY r.name LIMIT ?",
        registry.id,
        registry.region,
        after,
        _PAGE,
    ):
        for *settings, repository_id in rows:
            tags = tx.all(
                "SELECT key, value FROM resource_tags WHERE repository_id = ? ORDER BY key",
                repository_id,
            )
            yield (*settings, json.dumps([list(tag) for tag in tags]))
        after = rows[-1][0]


def list_policies(tx: Transaction, registry: RegistryRef) -> Iterator[Row]:
    """Give kind, repository and text of all policies, by both; the registry's own is of none."""
    for kind, select in _POLICIES:
        after = ""
        while rows := tx.all(
            f"{select} JOIN repositories r ON r.id = p.repository_id "
            f"WHERE {_OF_REGISTRY} AND r.name > ? ORDER BY r.name LIMIT ?",
            registry.id,
            registry.region,
            after,
            _PAGE,
        ):
            for name, *text in rows:
                yield kind, name, text[0] if len(text) == 1 else json.dumps(text)
            after = rows[-1][0]
        if kind == "pull-gate":
            row = tx.one(
                "SELECT document FROM registry_policies WHERE registry_id = ? AND region = ?",
                registry.id,
                registry.region,
            )
            if row is not None:
                yield "registry", "", row[0]


def list_images(tx: Transaction, registry: RegistryRef) -> Iterator[Row]:
    """Give 0, or 1 for an index, repository, digest, type and time of push of all images, in that
    order.
    """
    indexes = sorted(INDEX_TYPES)
    places = ", ".join("?" * len(indexes))
    for rank, kind in enumerate((f"NOT IN ({places})", f"IN ({places})")):
        after: Row = ("", "")
        while rows := tx.all(
            "SELECT r.name, i.digest, i.media_type, i.pushed_at FROM repositories r "  # noqa: S608 - constants
            f"JOIN images i ON i.repository_id = r.id WHERE {_OF_REGISTRY} "
            f"AND i.media_type {kind} AND (r.name, i.digest) > (?, ?) "
            "ORDER BY r.name, i.digest LIMIT ?",
            registry.id,
            registry.region,
            *indexes,
            *after,
            _PAGE,
        ):
            yield from ((rank, *row) for row in rows)
            after = rows[-1][:2]


def list_tags(tx: Transaction, registry: RegistryRef) -> Iterator[Row]:
    """Give repository, tag and digest of all tags, by both."""
    after: Row = ("", "")
    while rows := tx.all(
        "SELECT r.name, t.tag, i.digest FROM repositories r "  # noqa: S608 - constants
        "JOIN tags t ON t.repository_id = r.id JOIN images i ON i.id = t.image_id "
        f"WHERE {_OF_REGISTRY} AND (r.name, t.tag) > (?, ?) ORDER BY r.name, t.tag LIMIT ?",
        registry.id,
        registry.region,
        *after,
        _PAGE,
    ):
        yield from rows
        after = rows[-1][:2]


def list_blobs(tx: Transaction, registry: RegistryRef) -> Iterator[Row]:
    """Give digest and size of all bytes that images of the registry need, by digest."""
    after = ""
    while rows := tx.all(
        "SELECT b.digest, b.size FROM blobs b WHERE b.digest > ? AND EXISTS ("  # noqa: S608 - a constant
        "SELECT 1 FROM layers l JOIN repositories r ON r.id = l.repository_id "
        f"WHERE l.blob_id = b.id AND l.image_count > 0 AND {_OF_REGISTRY}) "
        "ORDER BY b.digest LIMIT ?",
        after,
        registry.id,
        registry.region,
        _PAGE,
    ):
        yield from rows
        after = rows[-1][0]


def find_manifest(tx: Transaction, registry: RegistryRef, name: str, digest: str) -> bytes | None:
    """Give an image's manifest, None where there is no such image."""
    row = tx.one(
        "SELECT m.content FROM repositories r JOIN images i ON i.repository_id = r.id "  # noqa: S608 - a constant
        f"JOIN manifests m ON m.image_id = i.id WHERE {_OF_REGISTRY} AND r.name = ? "
        "AND i.digest = ?",
        registry.id,
        registry.region,
        name,
        digest,
    )
    return None if row is None else bytes(row[0])


def find_applied(tx: Transaction, registry: RegistryRef, source: str) -> AppliedBundle | None:
    row = tx.one(
        "SELECT bundle_id, created_at, is_done FROM applied_bundles "
        "WHERE registry_id = ? AND region = ? AND source = ?",
        registry.id,
        registry.region,
        source,
    )
    return None if row is None else AppliedBundle(row[0], row[1], bool(row[2]))


def put_applied(
    tx: Transaction, registry: RegistryRef, source: str, bundle: AppliedBundle, now: float
) -> None:
    tx.run(
        "INSERT INTO applied_bundles (registry_id, region, source, bundle_id, created_at, "
        "is_done, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (registry_id, region, source) DO UPDATE SET bundle_id = excluded.bundle_id, "
        "created_at = excluded.created_at, is_done = excluded.is_done, "
        "updated_at = excluded.updated_at",
        registry.id,
        registry.region,
        source,
        bundle.bundle_id,
        bundle.created_at,
        int(bundle.is_done),
        now,
    )
