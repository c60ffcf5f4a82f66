"""Rows of signing configurations, and of what becomes of signing images."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.signing import (
    COMPLETE,
    FAILED,
    IN_PROGRESS,
    DueSigning,
    SigningConfiguration,
    SigningRule,
    SigningStatus,
)
from ecrate.domain.trash import TRASH
from ecrate.store.database import Row, Transaction


def put_configuration(
    tx: Transaction, registry: RegistryRef, configuration: SigningConfiguration
) -> None:
    tx.run(
        "INSERT INTO signing_configurations (registry_id, region, rules, updated_at) "
        "VALUES (?, ?, ?, ?) ON CONFLICT (registry_id, region) DO UPDATE "
        "SET rules = excluded.rules, updated_at = excluded.updated_at",
        registry.id,
        registry.region,
        json.dumps([(one.profile_arn, one.filters) for one in configuration.rules]),
        configuration.updated_at,
    )


def find_configuration(tx: Transaction, registry: RegistryRef) -> SigningConfiguration | None:
    row = tx.one(
        "SELECT rules, updated_at FROM signing_configurations WHERE registry_id = ? AND region = ?",
        registry.id,
        registry.region,
    )
    return None if row is None else _configuration(row)


def delete_configuration(tx: Transaction, registry: RegistryRef) -> SigningConfiguration | None:
    """Give what there was."""
    row = tx.one(
        "DELETE FROM signing_configurations WHERE registry_id = ? AND region = ? "
        "RETURNING rules, updated_at",
        registry.id,
        registry.region,
    )
    return None if row is None else _configuration(row)


def _configuration(row: Row) -> SigningConfiguration:
    rules = [SigningRule(arn, tuple(filters)) for arn, filters in json.loads(row[0])]
    return SigningConfiguration(rules, row[1])


def queue_signings(
    tx: Transaction, ref: RepositoryRef, digest: str, profiles: Sequence[str], now: float
) -> None:
    """Let the profiles sign an image, if it is still there; not those that have done so."""
    for profile in profiles:
        tx.run(
            "INSERT INTO image_signings (image_id, profile_arn, status, due_at) "
            "SELECT i.id, ?, 'IN_PROGRESS', ? FROM repositories r "
            "JOIN images i ON i.repository_id = r.id AND i.digest = ? "
            "WHERE r.registry_id = ? AND r.region = ? AND r.name = ? "
            "ON CONFLICT (image_id, profile_arn) DO UPDATE SET status = excluded.status, "
            "due_at = excluded.due_at, attempts = 0, failure_code = NULL, failure_reason = NULL "
            "WHERE image_signings.status = 'FAILED'",
            profile,
            now,
            digest,
            ref.registry.id,
            ref.registry.region,
            ref.name,
        )


def list_due(tx: Transaction, now: float, limit: int) -> list[DueSigning]:
    """Give up to `limit` images that are to be signed by now, the longest due first; none that
    are in the trash.
    """
    rows = tx.all(
        "SELECT s.image_id, r.registry_id, r.region, r.name, i.digest, s.profile_arn, s.attempts "
        "FROM image_signings s JOIN images i ON i.id = s.image_id "
        "JOIN repositories r ON r.id = i.repository_id "
        "WHERE s.due_at <= ? AND r.registry_id <> ? ORDER BY s.due_at LIMIT ?",
        now,
        TRASH.id,
        limit,
    )
    return [
        DueSigning(
            image_id=row[0],
            ref=RepositoryRef(RegistryRef(row[1], row[2]), row[3]),
            digest=row[4],
            profile_arn=row[5],
            attempts=row[6],
        )
        for row in rows
    ]


def end_signing(tx: Transaction, due: DueSigning, failure: tuple[str, str] | None) -> None:
    """Note that the image is signed, or the code and text of why it cannot be."""
    code, reason = failure or (None, None)
    tx.run(
        "UPDATE image_signings SET status = ?, failure_code = ?, failure_reason = ?, "
        "due_at = NULL WHERE image_id = ? AND profile_arn = ?",
        FAILED if failure else COMPLETE,
        code,
        reason,
        due.image_id,
        due.profile_arn,
    )


def put_off_signing(tx: Transaction, due: DueSigning, until: float) -> None:
    """Note an attempt that failed, and when to try again."""
    tx.run(
        "UPDATE image_signings SET attempts = ?, due_at = ? "
        "WHERE image_id = ? AND profile_arn = ? AND status = ?",
        due.attempts + 1,
        until,
        due.image_id,
        due.profile_arn,
        IN_PROGRESS,
    )


def list_statuses(tx: Transaction, image_id: int) -> list[SigningStatus]:
    """Give what has become of signing the image, in the order of the profiles."""
    rows = tx.all(
        "SELECT profile_arn, status, failure_code, failure_reason FROM image_signings "
        "WHERE image_id = ? ORDER BY profile_arn",
        image_id,
    )
    return [SigningStatus(row[0], row[1], row[2], row[3]) for row in rows]
