"""Counts over all registries: questions only, none of which reads all images or layers unless
each repository is asked for.
"""

from __future__ import annotations

from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.state import RepositoryState
from ecrate.domain.trash import TRASH
from ecrate.store.database import Transaction


def count_repositories(tx: Transaction) -> int:
    """Count the repositories of all registries."""
    row = tx.one("SELECT coalesce(sum(repository_count), 0) FROM registries")
    return int(row[0]) if row else 0


def count_outbox(tx: Transaction) -> int:
    """Count events that are not published yet."""
    row = tx.one("SELECT count(*) FROM outbox")
    return int(row[0]) if row else 0


def list_leases(tx: Transaction) -> list[tuple[str, float]]:
    """Give name and end of each lease on background work."""
    rows = tx.all("SELECT name, expires_at FROM leases WHERE holder <> 'hold' ORDER BY name")
    return [(row[0], row[1]) for row in rows]


def list_repository_states(tx: Transaction) -> list[RepositoryState]:
    """Count images and bytes of every repository."""
    rows = tx.all(
        "SELECT r.registry_id, r.region, r.name, r.image_count, coalesce(sum(b.size), 0) "
        "FROM repositories r LEFT JOIN layers l ON l.repository_id = r.id AND l.image_count > 0 "
        "LEFT JOIN blobs b ON b.id = l.blob_id WHERE r.registry_id <> ? "
        "GROUP BY r.id, r.registry_id, r.region, r.name, r.image_count "
        "ORDER BY r.registry_id, r.region, r.name",
        TRASH.id,
    )
    return [
        RepositoryState(RepositoryRef(RegistryRef(row[0], row[1]), row[2]), row[3], int(row[4]))
        for row in rows
    ]
