"""Rows of a registry's own settings: account settings, pull time update exclusions."""

from __future__ import annotations

from ecrate.domain.errors import ExclusionAlreadyExists
from ecrate.domain.names import RegistryRef
from ecrate.domain.registry import PullTimeExclusion
from ecrate.store.database import ConstraintError, Transaction


def find_account_setting(tx: Transaction, registry: RegistryRef, name: str) -> str | None:
    """Give the value that was set, None where none was."""
    row = tx.one(
        "SELECT value FROM account_settings WHERE registry_id = ? AND region = ? AND name = ?",
        registry.id,
        registry.region,
        name,
    )
    return None if row is None else str(row[0])


def put_account_setting(tx: Transaction, registry: RegistryRef, name: str, value: str) -> None:
    tx.run(
        "INSERT INTO account_settings (registry_id, region, name, value) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (registry_id, region, name) DO UPDATE SET value = excluded.value",
        registry.id,
        registry.region,
        name,
        value,
    )


def insert_pull_time_exclusion(
    tx: Transaction, registry: RegistryRef, exclusion: PullTimeExclusion
) -> None:
    """Raise `ExclusionAlreadyExists` when the principal has one."""
    try:
        tx.run(
            "INSERT INTO pull_time_exclusions (registry_id, region, principal_arn, created_at) "
            "VALUES (?, ?, ?, ?)",
            registry.id,
            registry.region,
            exclusion.principal_arn,
            exclusion.created_at,
        )
    except ConstraintError:
        raise ExclusionAlreadyExists(exclusion.principal_arn) from None


def delete_pull_time_exclusion(tx: Transaction, registry: RegistryRef, principal_arn: str) -> bool:
    """Tell whether there was one."""
    return bool(
        tx.run(
            "DELETE FROM pull_time_exclusions "
            "WHERE registry_id = ? AND region = ? AND principal_arn = ?",
            registry.id,
            registry.region,
            principal_arn,
        )
    )


def list_pull_time_exclusions(
    tx: Transaction, registry: RegistryRef, after: str, limit: int
) -> list[str]:
    """Give up to `limit` excluded principals in order of ARN, those behind `after`."""
    rows = tx.all(
        "SELECT principal_arn FROM pull_time_exclusions "
        "WHERE registry_id = ? AND region = ? AND principal_arn > ? "
        "ORDER BY principal_arn LIMIT ?",
        registry.id,
        registry.region,
        after,
        limit,
    )
    return [row[0] for row in rows]
