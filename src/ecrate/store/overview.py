"""What people look for in a registry: questions only, each of a page or a few counts."""

from __future__ import annotations

from dataclasses import dataclass

from ecrate.domain.images import Image
from ecrate.domain.names import RegistryRef
from ecrate.domain.repositories import Repository
from ecrate.store.database import Transaction
from ecrate.store.images import list_named_images
from ecrate.store.repositories import search_rows


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a repository's layers, and of those that no other repository has; times of its last
    push and pull, None where there was none.
    """

    bytes: int
    unique_bytes: int
    last_pushed_at: float | None
    last_pulled_at: float | None


def _pattern(text: str) -> str:
    """Give what LIKE takes for a text anywhere."""
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return f"%{text}%"


def search_repositories(
    tx: Transaction, registry: RegistryRef, text: str, after: str, limit: int
) -> list[Repository]:
    """Give up to `limit` repositories with the text in their name, those behind `after`."""
    return search_rows(tx, registry, _pattern(text), after, limit)


def search_images(
    tx: Transaction, repository_id: int, text: str, before: int | None, limit: int
) -> list[Image]:
    """Give up to `limit` images, the newest first, of those before the id `before`: all, or those
    with a tag that has the text in it.
    """
    pattern = _pattern(text) if text else ""
    return list_named_images(tx, repository_id, pattern, before, limit)


def find_usage(tx: Transaction, repository_id: int) -> Usage:
    """Add up what the repository takes; that takes the longer the more layers it has."""
    sizes = tx.one(
        "SELECT COALESCE(SUM(b.size), 0), COALESCE(SUM(CASE WHEN EXISTS (SELECT 1 FROM layers o "
        "WHERE o.blob_id = l.blob_id AND o.repository_id <> l.repository_id) THEN 0 "
        "ELSE b.size END), 0) FROM layers l JOIN blobs b ON b.id = l.blob_id "
        "WHERE l.repository_id = ? AND l.image_count > 0",
        repository_id,
    )
    times = tx.one(
        "SELECT MAX(pushed_at), MAX(last_pulled_at) FROM images WHERE repository_id = ?",
        repository_id,
    )
    total, unique = (0, 0) if sizes is None else sizes
    pushed, pulled = (None, None) if times is None else times
    return Usage(int(total), int(unique), pushed, pulled)


def count_repositories(tx: Transaction, registry: RegistryRef) -> int:
    """Give how many repositories a registry has."""
    row = tx.one(
        "SELECT repository_count FROM registries WHERE id = ? AND region = ?",
        registry.id,
        registry.region,
    )
    return 0 if row is None else int(row[0])


def count_images(tx: Transaction, registry: RegistryRef) -> int:
    """Add up the images of a registry; that takes the longer the more repositories it has."""
    row = tx.one(
        "SELECT COALESCE(SUM(image_count), 0) FROM repositories WHERE registry_id = ? "
        "AND region = ?",
        registry.id,
        registry.region,
    )
    return 0 if row is None else int(row[0])
