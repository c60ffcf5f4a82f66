"""Rows of pull through cache rules, and of what is known of their upstreams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.pull_through import Rule
from ecrate.domain.upstream_errors import PullThroughCacheRuleAlreadyExists
from ecrate.store.database import ConstraintError, Row, Transaction

_COLUMNS = (
    "prefix, url, upstream_registry, upstream_prefix, credential_arn, custom_role_arn, "
    "created_at, updated_at, paused_until, pause"
)


def insert_rule(tx: Transaction, registry: RegistryRef, rule: Rule) -> None:
    """Raise `PullThroughCacheRuleAlreadyExists` when the registry has one of this prefix."""
    try:
        tx.run(
            f"INSERT INTO pull_through_rules (registry_id, region, {_COLUMNS}) "  # noqa: S608 - a constant
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            registry.id,
            registry.region,
            rule.prefix,
            rule.url,
            rule.upstream_registry,
            rule.upstream_prefix,
            rule.credential_arn,
            rule.custom_role_arn,
            rule.created_at,
            rule.updated_at,
            rule.paused_until,
            rule.pause,
        )
    except ConstraintError:
        raise PullThroughCacheRuleAlreadyExists(rule.prefix, registry.id) from None


def find_rule(tx: Transaction, registry: RegistryRef, prefix: str) -> Rule | None:
    row = tx.one(
        f"SELECT {_COLUMNS} FROM pull_through_rules "  # noqa: S608 - a constant
        "WHERE registry_id = ? AND region = ? AND prefix = ?",
        registry.id,
        registry.region,
        prefix,
    )
    return None if row is None else _rule(row)


def list_rules(tx: Transaction, registry: RegistryRef, after: str, limit: int) -> list[Rule]:
    """Give up to `limit` rules in order of prefix, those behind `after`."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM pull_through_rules "  # noqa: S608 - a constant
        "WHERE registry_id = ? AND region = ? AND prefix > ? ORDER BY prefix LIMIT ?",
        registry.id,
        registry.region,
        after,
        limit,
    )
    return [_rule(row) for row in rows]


def update_rule(
    tx: Transaction,
    registry: RegistryRef,
    prefix: str,
    *,
    credential_arn: str | None,
    custom_role_arn: str | None,
    now: float,
) -> None:
    """Put other credentials in place of the rule's; its upstream may be asked again."""
    tx.run(
        "UPDATE pull_through_rules SET credential_arn = ?, custom_role_arn = ?, updated_at = ?, "
        "paused_until = 0, pause = '' WHERE registry_id = ? AND region = ? AND prefix = ?",
        credential_arn,
        custom_role_arn,
        now,
        registry.id,
        registry.region,
        prefix,
    )


def pause_rule(
    tx: Transaction, registry: RegistryRef, prefix: str, until: float, reason: str
) -> None:
    """Leave the rule's upstream alone until then."""
    tx.run(
        "UPDATE pull_through_rules SET paused_until = ?, pause = ? "
        "WHERE registry_id = ? AND region = ? AND prefix = ?",
        until,
        reason,
        registry.id,
        registry.region,
        prefix,
    )


def delete_rule(tx: Transaction, registry: RegistryRef, prefix: str) -> None:
    tx.run(
        "DELETE FROM pull_through_rules WHERE registry_id = ? AND region = ? AND prefix = ?",
        registry.id,
        registry.region,
        prefix,
    )


def find_check(tx: Transaction, repository_id: int, tag: str) -> tuple[float, str] | None:
    """Give when a tag was last compared with upstream's, and the entity tag it had there; None
    for one that did not come from there.
    """
    row = tx.one(
        "SELECT checked_at, etag FROM tags WHERE repository_id = ? AND tag = ? "
        "AND checked_at IS NOT NULL",
        repository_id,
        tag,
    )
    return None if row is None else (row[0], row[1] or "")


def note_check(tx: Transaction, repository_id: int, tag: str, now: float, etag: str) -> None:
    """Note that a tag is as upstream has it."""
    tx.run(
        "UPDATE tags SET checked_at = ?, etag = ? WHERE repository_id = ? AND tag = ?",
        now,
        etag,
        repository_id,
        tag,
    )


def delay_check(tx: Transaction, repository_id: int, tag: str, checked_at: float) -> None:
    """Let a tag of upstream's count as compared at that time."""
    tx.run(
        "UPDATE tags SET checked_at = ? WHERE repository_id = ? AND tag = ? "
        "AND checked_at IS NOT NULL",
        checked_at,
        repository_id,
        tag,
    )


def find_subject_check(tx: Transaction, repository_id: int, subject: str) -> float | None:
    """Give when upstream was last asked for the referrers of a digest."""
    row = tx.one(
        "SELECT checked_at FROM upstream_subjects WHERE repository_id = ? AND subject = ?",
        repository_id,
        subject,
    )
    return None if row is None else float(row[0])


def note_subject_check(tx: Transaction, repository_id: int, subject: str, now: float) -> None:
    tx.run(
        "INSERT INTO upstream_subjects (repository_id, subject, checked_at) VALUES (?, ?, ?) "
        "ON CONFLICT (repository_id, subject) DO UPDATE SET checked_at = excluded.checked_at",
        repository_id,
        subject,
        now,
    )


def list_needing(tx: Transaction, repository_id: int, digest: str) -> list[int]:
    """Give the ids of the images of a repository that refer to a layer, whether it is there or
    not.
    """
    rows = tx.all(
        "SELECT image_id FROM missing_references WHERE repository_id = ? AND digest = ? "
        "AND is_child = 0 UNION "
        "SELECT l.image_id FROM blobs b JOIN image_layers l ON l.blob_id = b.id "
        "WHERE b.digest = ? AND l.repository_id = ? LIMIT 10",
        repository_id,
        digest,
        digest,
        repository_id,
    )
    return [row[0] for row in rows]


def list_completed_by_layer(tx: Transaction, repository_id: int, blob_id: int) -> list[int]:
    """Give the ids of the images that need a layer which has come, and nothing more."""
    rows = tx.all(
        "SELECT l.image_id FROM image_layers l WHERE l.repository_id = ? AND l.blob_id = ? "
        "AND NOT EXISTS (SELECT 1 FROM missing_references m WHERE m.image_id = l.image_id) "
        "ORDER BY l.image_id",
        repository_id,
        blob_id,
    )
    return [row[0] for row in rows]


def list_completed_by_image(tx: Transaction, image_id: int) -> list[int]:
    """Give the ids of the image, unless it lacks something, and of the indexes that list it and
    have all their members now.
    """
    rows = tx.all(
        "SELECT i.id FROM images i WHERE (i.id = ? "
        "OR i.id IN (SELECT c.image_id FROM image_children c WHERE c.child_id = ?)) "
        "AND NOT EXISTS (SELECT 1 FROM missing_references m WHERE m.image_id = i.id) "
        "ORDER BY i.id",
        image_id,
        image_id,
    )
    return [row[0] for row in rows]


def enlarge_indexes(tx: Transaction, image_id: int) -> None:
    """Let the indexes that list an image be no smaller than it is."""
    tx.run(
        "UPDATE images SET size = (SELECT size FROM images c WHERE c.id = ?) WHERE id IN "
        "(SELECT image_id FROM image_children WHERE child_id = ?) "
        "AND size < (SELECT size FROM images c WHERE c.id = ?)",
        image_id,
        image_id,
        image_id,
    )


class Import(NamedTuple):
    """Something that a cached image needs and that is not there yet."""

    repository_id: int
    digest: str
    is_manifest: bool
    failures: int


def insert_imports(
    tx: Transaction, repository_id: int, digests: Sequence[tuple[str, bool]], now: float
) -> None:
    """Note what is to be fetched: digests, and whether each is a manifest's."""
    tx.many(
        "INSERT INTO upstream_imports (repository_id, digest, is_manifest, not_before) "
        "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(repository_id, digest, int(is_manifest), now) for digest, is_manifest in digests],
    )


def list_due_imports(tx: Transaction, now: float, limit: int) -> list[tuple[Import, RepositoryRef]]:
    """Give up to `limit` imports whose time has come, the longest waiting first."""
    rows = tx.all(
        "SELECT i.repository_id, i.digest, i.is_manifest, i.failures, r.registry_id, r.region, "
        "r.name FROM upstream_imports i JOIN repositories r ON r.id = i.repository_id "
        "WHERE i.not_before <= ? ORDER BY i.not_before LIMIT ?",
        now,
        limit,
    )
    return [
        (
            Import(row[0], row[1], bool(row[2]), row[3]),
            RepositoryRef(RegistryRef(row[4], row[5]), row[6]),
        )
        for row in rows
    ]


def delete_import(tx: Transaction, repository_id: int, digest: str) -> None:
    tx.run(
        "DELETE FROM upstream_imports WHERE repository_id = ? AND digest = ?",
        repository_id,
        digest,
    )


def delay_import(
    tx: Transaction, repository_id: int, digest: str, not_before: float, failures: int
) -> None:
    tx.run(
        "UPDATE upstream_imports SET not_before = ?, failures = ? "
        "WHERE repository_id = ? AND digest = ?",
        not_before,
        failures,
        repository_id,
        digest,
    )


def _rule(row: Row) -> Rule:
    return Rule(
        prefix=row[0],
        url=row[1],
        upstream_registry=row[2],
        upstream_prefix=row[3],
        credential_arn=row[4],
        custom_role_arn=row[5],
        created_at=row[6],
        updated_at=row[7],
        paused_until=row[8],
        pause=row[9],
    )
