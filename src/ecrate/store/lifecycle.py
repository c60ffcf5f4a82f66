"""Rows of lifecycle policies and their previews, and what rules look at in images."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ecrate.domain.lifecycle import Action, LifecycleImage, Verdict
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.store.database import Row, Transaction

_STEP = 500
_TAG_STATUS = {
    "TAGGED": " AND tags <> '[]'",
    "UNTAGGED": " AND tags = '[]'",
    "ANY": "",
}


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy's text and when it was last carried out, None before the first time."""

    text: str
    evaluated_at: float | None


@dataclass(frozen=True, slots=True)
class DuePolicy:
    """A policy that is to be carried out now, and on what."""

    repository_id: int
    ref: RepositoryRef
    text: str


@dataclass(frozen=True, slots=True)
class StoredPreview:
    """A preview without its results. `status` is IN_PROGRESS, COMPLETE, FAILED or EXPIRED."""

    id: str
    text: str
    status: str
    started_at: float
    expiring_count: int
    transitioning_count: int


@dataclass(frozen=True, slots=True)
class PreviewResult:
    """What a preview says about one image; `position` orders a preview's results."""

    position: int
    digest: str
    tags: Sequence[str]
    pushed_at: float
    is_archived: bool
    action: Action
    rule_priority: int


def put_policy(tx: Transaction, repository_id: int, text: str, now: float) -> None:
    """Put a policy in any other's place. The same again changes nothing, so that saying it over
    and over does not put off its next time.
    """
    tx.run(
        "INSERT INTO lifecycle_policies (repository_id, policy, waits_since) VALUES (?, ?, ?) "
        "ON CONFLICT (repository_id) DO UPDATE SET policy = excluded.policy, "
        "waits_since = excluded.waits_since, evaluated_at = NULL "
        "WHERE lifecycle_policies.policy <> excluded.policy",
        repository_id,
        text,
        now,
    )


def find_policy(tx: Transaction, repository_id: int) -> StoredPolicy | None:
    row = tx.one(
        "SELECT policy, evaluated_at FROM lifecycle_policies WHERE repository_id = ?",
        repository_id,
    )
    return None if row is None else StoredPolicy(*row)


def delete_policy(tx: Transaction, repository_id: int) -> None:
    tx.run("DELETE FROM lifecycle_policies WHERE repository_id = ?", repository_id)


def list_due_policies(tx: Transaction, before: float, limit: int) -> list[DuePolicy]:
    """Give policies that nobody has carried out or changed since `before`, oldest first."""
    rows = tx.all(
        "SELECT p.repository_id, r.registry_id, r.region, r.name, p.policy "
        "FROM lifecycle_policies p JOIN repositories r ON r.id = p.repository_id "
        "WHERE p.waits_since <= ? ORDER BY p.waits_since LIMIT ?",
        before,
        limit,
    )
    return [
        DuePolicy(row[0], RepositoryRef(RegistryRef(row[1], row[2]), row[3]), row[4])
        for row in rows
    ]


def record_evaluation(tx: Transaction, policy: DuePolicy, now: float) -> None:
    """Note that the policy was carried out, unless it is another one by now."""
    tx.run(
        "UPDATE lifecycle_policies SET evaluated_at = ?, waits_since = ? "
        "WHERE repository_id = ? AND policy = ?",
        now,
        now,
        policy.repository_id,
        policy.text,
    )


def read_images(tx: Transaction, repository_id: int) -> list[LifecycleImage]:
    """Give all images of a repository in the order they came."""
    return _images(tx, "repository_id = ?", [repository_id])


def read_images_again(
    tx: Transaction, repository_id: int, ids: Sequence[int]
) -> dict[int, LifecycleImage]:
    """Give, by id, those of the images with these ids that are still there."""
    found: dict[int, LifecycleImage] = {}
    for start in range(0, len(ids), _STEP):
        some = ids[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        images = _images(tx, f"repository_id = ? AND id IN ({marks})", [repository_id, *some])
        found.update((image.id, image) for image in images)
    return found


def read_sizes(tx: Transaction, ids: Sequence[int]) -> dict[int, int]:
    """Give, by id, the bytes of images."""
    sizes: dict[int, int] = {}
    for start in range(0, len(ids), _STEP):
        some = ids[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        sizes.update(tx.all(f"SELECT id, size FROM images WHERE id IN ({marks})", *some))  # noqa: S608 - places
    return sizes


def _images(tx: Transaction, condition: str, values: Sequence[object]) -> list[LifecycleImage]:
    among = f"(SELECT id FROM images WHERE {condition})"  # noqa: S608 - constants
    tags: dict[int, list[str]] = defaultdict(list)
    for image_id, tag in tx.all(
        f"SELECT image_id, tag FROM tags WHERE image_id IN {among} ORDER BY tag",  # noqa: S608 - constants
        *values,
    ):
        tags[image_id].append(tag)
    in_active: dict[int, int] = dict(
        tx.all(
            "SELECT c.child_id, MAX(CASE WHEN i.status = 'ARCHIVED' THEN 0 ELSE 1 END) "  # noqa: S608 - constants
            "FROM image_children c JOIN images i ON i.id = c.image_id "
            f"WHERE c.child_id IN {among} GROUP BY c.child_id",
            *values,
        )
    )
    rows = tx.all(
        "SELECT id, digest, pushed_at, last_pulled_at, activated_at, archived_at, status, subject, "  # noqa: S608 - constants
        f"has_lost_subject FROM images WHERE {condition} ORDER BY id",
        *values,
    )
    return [
        LifecycleImage(
            id=row[0],
            digest=Digest(row[1]),
            tags=tuple(tags.get(row[0], ())),
            pushed_at=row[2],
            last_pulled_at=row[3],
            last_activated_at=row[4],
            last_archived_at=row[5],
            is_archived=row[6] == "ARCHIVED",
            is_referenced_by_index=row[0] in in_active,
            is_referenced_by_active_index=bool(in_active.get(row[0])),
            subject=row[7],
            has_lost_subject=bool(row[8]),
        )
        for row in rows
    ]


def insert_preview(
    tx: Transaction, repository_id: int, preview_id: str, text: str, now: float
) -> None:
    """Begin a preview in any other's place."""
    tx.run("DELETE FROM lifecycle_previews WHERE repository_id = ?", repository_id)
    tx.run(
        "INSERT INTO lifecycle_previews (repository_id, id, policy, status, started_at) "
        "VALUES (?, ?, ?, 'IN_PROGRESS', ?)",
        repository_id,
        preview_id,
        text,
        now,
    )


def find_preview(tx: Transaction, repository_id: int) -> StoredPreview | None:
    """Give the repository's preview, locked in a write."""
    row = tx.one(
        "SELECT id, policy, status, started_at, expiring_count, transitioning_count "
        "FROM lifecycle_previews WHERE repository_id = ? FOR UPDATE",
        repository_id,
    )
    return None if row is None else StoredPreview(*row)


def insert_preview_results(
    tx: Transaction, preview_id: str, position: int, verdicts: Sequence[Verdict]
) -> None:
    """Store verdicts from `position` on."""
    tx.many(
        "INSERT INTO lifecycle_preview_results (preview_id, position, digest, tags, pushed_at, "
        "is_archived, action, rule_priority) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                preview_id,
                place,
                verdict.image.digest.text,
                json.dumps(verdict.image.tags),
                verdict.image.pushed_at,
                int(verdict.image.is_archived),
                verdict.action,
                verdict.rule_priority,
            )
            for place, verdict in enumerate(verdicts, position)
        ],
    )


def finish_preview(
    tx: Transaction, preview_id: str, status: str, *, expiring: int = 0, transitioning: int = 0
) -> None:
    tx.run(
        "UPDATE lifecycle_previews SET status = ?, expiring_count = ?, transitioning_count = ? "
        "WHERE id = ?",
        status,
        expiring,
        transitioning,
        preview_id,
    )


def list_preview_results(
    tx: Transaction, preview_id: str, tag_status: str, after: int, limit: int
) -> list[PreviewResult]:
    """Give up to `limit` results behind the position `after`.

    `tag_status` is TAGGED, UNTAGGED or ANY.
    """
    rows = tx.all(
        "SELECT position, digest, tags, pushed_at, is_archived, action, rule_priority "  # noqa: S608 - constants
        "FROM lifecycle_preview_results WHERE preview_id = ? AND position > ?"
        f"{_TAG_STATUS[tag_status]} ORDER BY position LIMIT ?",
        preview_id,
        after,
        limit,
    )
    return [_result(row) for row in rows]


def find_preview_result(tx: Transaction, preview_id: str, digest: str) -> PreviewResult | None:
    row = tx.one(
        "SELECT position, digest, tags, pushed_at, is_archived, action, rule_priority "
        "FROM lifecycle_preview_results WHERE preview_id = ? AND digest = ?",
        preview_id,
        digest,
    )
    return None if row is None else _result(row)


def find_old_preview(tx: Transaction, before: float) -> str | None:
    """Give the id of a preview begun before `before` that still has its results."""
    row = tx.one(
        "SELECT id FROM lifecycle_previews WHERE status <> 'EXPIRED' AND started_at < ? "
        "ORDER BY started_at LIMIT 1",
        before,
    )
    return None if row is None else str(row[0])


def expire_preview(tx: Transaction, preview_id: str, limit: int) -> bool:
    """Drop up to `limit` results of a preview; tell whether that was the last of them."""
    # Whoever puts another preview in its place begins with this row too.
    tx.one("SELECT 1 FROM lifecycle_previews WHERE id = ? FOR UPDATE", preview_id)
    count = tx.run(
        "DELETE FROM lifecycle_preview_results WHERE (preview_id, position) IN ("
        "SELECT preview_id, position FROM lifecycle_preview_results WHERE preview_id = ? LIMIT ?)",
        preview_id,
        limit,
    )
    if count == limit:
        return False
    tx.run("UPDATE lifecycle_previews SET status = 'EXPIRED' WHERE id = ?", preview_id)
    return True


def _result(row: Row) -> PreviewResult:
    return PreviewResult(
        position=row[0],
        digest=row[1],
        tags=json.loads(row[2]),
        pushed_at=row[3],
        is_archived=bool(row[4]),
        action=row[5],
        rule_priority=row[6],
    )
