"""Rows of replication rules, of images on their way, and of backfills."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ecrate.domain.names import RegistryRef
from ecrate.domain.replication import Backfill, BackfillResult, Replication, ReplicationRule
from ecrate.store.database import Row, Transaction

_BACKFILL = (
    "id, registry_id, region, destination_id, destination_region, status, place, total, "
    "completed, failed, is_prepared, started_at, ended_at"
)


def put_rules(tx: Transaction, registry: RegistryRef, rules: Sequence[ReplicationRule]) -> None:
    """Put these in the place of the registry's rules."""
    written = [
        {
            "destinations": [[place.id, place.region] for place in rule.destinations],
            "prefixes": rule.prefixes,
            "has_deletions": rule.has_deletions,
        }
        for rule in rules
    ]
    tx.run(
        "INSERT INTO replication_rules (registry_id, region, rules) VALUES (?, ?, ?) "
        "ON CONFLICT (registry_id, region) DO UPDATE SET rules = excluded.rules",
        registry.id,
        registry.region,
        json.dumps(written),
    )


def list_rules(tx: Transaction, registry: RegistryRef) -> list[ReplicationRule]:
    row = tx.one(
        "SELECT rules FROM replication_rules WHERE registry_id = ? AND region = ?",
        registry.id,
        registry.region,
    )
    return [
        ReplicationRule(
            tuple(RegistryRef(*place) for place in rule["destinations"]),
            tuple(rule["prefixes"]),
            rule["has_deletions"],
        )
        for rule in json.loads("[]" if row is None else row[0])
    ]


def begin_replication(
    tx: Transaction, repository_id: int, digest: str, destination: RegistryRef
) -> None:
    """Count one copy more that waits."""
    tx.run(
        "INSERT INTO replications (repository_id, digest, destination_id, destination_region, "
        "waiting) VALUES (?, ?, ?, ?, 1) "
        "ON CONFLICT (repository_id, digest, destination_id, destination_region) "
        "DO UPDATE SET waiting = replications.waiting + 1",
        repository_id,
        digest,
        destination.id,
        destination.region,
    )


def end_replication(
    tx: Transaction,
    repository_id: int,
    digest: str,
    destination: RegistryRef,
    *,
    failure_code: str,
) -> None:
    """Count one copy less that waits, which failed unless there is no code."""
    tx.run(
        "UPDATE replications SET waiting = waiting - 1, failure_code = ? "
        "WHERE repository_id = ? AND digest = ? AND destination_id = ? "
        "AND destination_region = ? AND waiting > 0",
        failure_code,
        repository_id,
        digest,
        destination.id,
        destination.region,
    )


def delete_replications(tx: Transaction, repository_id: int, digest: str) -> None:
    """Forget how far an image has come that is no more."""
    tx.run("DELETE FROM replications WHERE repository_id = ? AND digest = ?", repository_id, digest)


def list_replications(tx: Transaction, repository_id: int, digest: str) -> list[Replication]:
    """Give how far an image has come, in order of destination."""
    rows = tx.all(
        "SELECT destination_id, destination_region, waiting, failure_code FROM replications "
        "WHERE repository_id = ? AND digest = ? ORDER BY destination_id, destination_region",
        repository_id,
        digest,
    )
    return [Replication(RegistryRef(row[0], row[1]), row[2], row[3]) for row in rows]


def insert_backfill(tx: Transaction, backfill: Backfill) -> None:
    tx.run(
        f"INSERT INTO backfills ({_BACKFILL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        backfill.id,
        backfill.registry.id,
        backfill.registry.region,
        backfill.destination.id,
        backfill.destination.region,
        backfill.status,
        json.dumps(backfill.place),
        backfill.total,
        backfill.completed,
        backfill.failed,
        int(backfill.is_prepared),
        backfill.started_at,
        backfill.ended_at,
    )


def find_backfill(tx: Transaction, backfill_id: str) -> Backfill | None:
    """Give the backfill, locked in a write."""
    row = tx.one(f"SELECT {_BACKFILL} FROM backfills WHERE id = ? FOR UPDATE", backfill_id)  # noqa: S608 - constants
    return None if row is None else _backfill(row)


def list_backfills(
    tx: Transaction, registry: RegistryRef, after: tuple[float, str], limit: int
) -> list[Backfill]:
    """Give up to `limit` of a registry's, the newest first, those behind start and id `after`."""
    rows = tx.all(
        f"SELECT {_BACKFILL} FROM backfills WHERE registry_id = ? AND region = ? "  # noqa: S608 - constants
        "AND (started_at < ? OR (started_at = ? AND id < ?)) "
        "ORDER BY started_at DESC, id DESC LIMIT ?",
        registry.id,
        registry.region,
        after[0],
        after[0],
        after[1],
        limit,
    )
    return [_backfill(row) for row in rows]


def list_open_backfills(tx: Transaction, statuses: Sequence[str]) -> list[Backfill]:
    """Give the backfills of all registries with one of these statuses."""
    marks = ", ".join("?" * len(statuses))
    rows = tx.all(
        f"SELECT {_BACKFILL} FROM backfills WHERE status IN ({marks}) ORDER BY started_at, id",  # noqa: S608 - constants
        *statuses,
    )
    return [_backfill(row) for row in rows]


def advance_backfill(
    tx: Transaction, backfill_id: str, place: tuple[str, int, str], count: int
) -> None:
    """Note how far the preparation has come, and how many more images were found."""
    tx.run(
        "UPDATE backfills SET place = ?, total = total + ? WHERE id = ?",
        json.dumps(place),
        count,
        backfill_id,
    )


def prepare_backfill(tx: Transaction, backfill_id: str) -> None:
    """Note that all images were found."""
    tx.run("UPDATE backfills SET is_prepared = 1, status = 'IN_PROGRESS' WHERE id = ?", backfill_id)


def update_backfill_status(
    tx: Transaction, backfill_id: str, status: str, ended_at: float | None
) -> None:
    tx.run(
        "UPDATE backfills SET status = ?, ended_at = ? WHERE id = ?", status, ended_at, backfill_id
    )


def insert_backfill_result(tx: Transaction, backfill_id: str, result: BackfillResult) -> None:
    """Note what became of one image, and count it. The result's id does not matter."""
    column = "failed" if result.failure_code else "completed"
    if not tx.run(
        f"UPDATE backfills SET {column} = {column} + 1 WHERE id = ?",  # noqa: S608 - one of two
        backfill_id,
    ):
        return
    tx.run(
        "INSERT INTO backfill_results (backfill_id, repository, digest, tag, failure_code, "
        "child_failure_code) VALUES (?, ?, ?, ?, ?, ?)",
        backfill_id,
        result.repository,
        result.digest,
        result.tag,
        result.failure_code,
        result.child_failure_code,
    )


def list_backfill_results(
    tx: Transaction, backfill_id: str, after: int, limit: int, *, is_failed: bool | None
) -> list[BackfillResult]:
    """Give up to `limit` results, those behind the id `after`; of both kinds with None."""
    wanted = {None: "", True: "AND failure_code <> '' ", False: "AND failure_code = '' "}
    rows = tx.all(
        "SELECT id, repository, digest, tag, failure_code, child_failure_code "  # noqa: S608 - constants
        f"FROM backfill_results WHERE backfill_id = ? AND id > ? {wanted[is_failed]}"
        "ORDER BY id LIMIT ?",
        backfill_id,
        after,
        limit,
    )
    return [BackfillResult(*row) for row in rows]


def list_backfill_failures(tx: Transaction, backfill_id: str) -> list[str]:
    """Give the codes of the failures, each once."""
    rows = tx.all(
        "SELECT DISTINCT failure_code FROM backfill_results "
        "WHERE backfill_id = ? AND failure_code <> '' ORDER BY failure_code",
        backfill_id,
    )
    return [row[0] for row in rows]


def delete_old_backfills(tx: Transaction, before: float) -> int:
    """Forget backfills that ended before `before`; give how many."""
    return tx.run("DELETE FROM backfills WHERE ended_at IS NOT NULL AND ended_at < ?", before)


def _backfill(row: Row) -> Backfill:
    name, image_id, tag = json.loads(row[6])
    return Backfill(
        id=row[0],
        registry=RegistryRef(row[1], row[2]),
        destination=RegistryRef(row[3], row[4]),
        status=row[5],
        place=(name, image_id, tag),
        total=row[7],
        completed=row[8],
        failed=row[9],
        is_prepared=bool(row[10]),
        started_at=row[11],
        ended_at=row[12],
    )
