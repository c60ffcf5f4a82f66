"""Rows of the tags that repositories carry as resources."""

from __future__ import annotations

from collections.abc import Sequence

from ecrate.domain.tagging import ResourceTag
from ecrate.store.database import Transaction


def list_resource_tags(tx: Transaction, repository_id: int) -> list[ResourceTag]:
    """Give the repository's tags in order of key."""
    rows = tx.all(
        "SELECT key, value FROM resource_tags WHERE repository_id = ? ORDER BY key", repository_id
    )
    return [(row[0], row[1]) for row in rows]


def put_resource_tags(tx: Transaction, repository_id: int, tags: Sequence[ResourceTag]) -> None:
    """Add tags; one whose key is there gets the new value."""
    tx.many(
        "INSERT INTO resource_tags (repository_id, key, value) VALUES (?, ?, ?) "
        "ON CONFLICT (repository_id, key) DO UPDATE SET value = excluded.value",
        [(repository_id, key, value) for key, value in tags],
    )


def delete_resource_tags(tx: Transaction, repository_id: int, keys: Sequence[str]) -> None:
    """Remove those of the tags that are there."""
    tx.many(
        "DELETE FROM resource_tags WHERE repository_id = ? AND key = ?",
        [(repository_id, key) for key in keys],
    )
