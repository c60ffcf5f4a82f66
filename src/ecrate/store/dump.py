"""All rows of a database, table by table, in the order in which they can be written again.

It names tables and columns, so that rows may go from one engine to the other; a test holds it
against the schema. Left out is what bytes under way and running servers have rows for: uploads,
garbage, leases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.store.database import Row, Transaction

_NAME: Final = re.compile(r"[a-z_]{1,63}")


@dataclass(frozen=True, slots=True)
class Table:
    """`keys` are the first columns, by which rows are ordered; those in `binary` hold bytes. With
    `has_identity` the database gives the one key out, never twice. `page` rows are read at once.
    """

    name: str
    keys: tuple[str, ...]
    others: tuple[str, ...] = ()
    binary: tuple[str, ...] = ()
    has_identity: bool = False
    page: int = 1000

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.keys, *self.others)


def _table(name: str, keys: str, others: str = "", *, identity: bool = False) -> Table:
    return Table(name, tuple(keys.split()), tuple(others.split()), has_identity=identity)


LEFT_OUT: Final = ("schema_version", "uploads", "garbage", "leases", "collected")
TABLES: Final = (
    _table("installation", "id"),
    _table("secret", "fingerprint"),
    _table("principals", "id", "registry_id kind name arn trust_policy created_at", identity=True),
    _table("access_keys", "id", "principal_id is_active created_at"),
    _table("inline_policies", "principal_id name", "document"),
    _table("managed_policies", "arn", "document"),
    _table("attached_policies", "principal_id policy_arn"),
    _table("registry_policies", "registry_id region", "document"),
    _table("registries", "id region", "repository_count"),
    _table("account_settings", "registry_id region name", "value"),
    _table("pull_time_exclusions", "registry_id region principal_arn", "created_at"),
    _table(
        "templates",
        "registry_id region prefix",
        "applied_for created_at updated_at description tag_mutability tag_mutability_filters "
        "encryption_type kms_key resource_tags repository_policy lifecycle_policy custom_role_arn",
    ),
    _table(
        "pull_through_rules",
        "registry_id region prefix",
        "url upstream_registry upstream_prefix credential_arn custom_role_arn created_at "
        "updated_at paused_until pause",
    ),
    _table(
        "repositories",
        "id",
        "registry_id region name created_at tag_mutability tag_mutability_filters scan_on_push "
        "encryption_type kms_key image_count is_locked",
        identity=True,
    ),
    _table("repository_policies", "repository_id", "document"),
    _table("resource_tags", "repository_id key", "value"),
    _table("lifecycle_policies", "repository_id", "policy waits_since evaluated_at"),
    _table(
        "lifecycle_previews",
        "repository_id",
        "id policy status started_at expiring_count transitioning_count",
    ),
    _table(
        "lifecycle_preview_results",
        "preview_id position",
        "digest tags pushed_at is_archived action rule_priority",
    ),
    _table("blobs", "id", "digest key size stored_at lost_at", identity=True),
    _table("unlinked_blobs", "blob_id"),
    _table("layers", "repository_id blob_id", "touched_at image_count"),
    _table(
        "images",
        "id",
        "repository_id digest media_type artifact_media_type size pushed_at last_pulled_at "
        "subject annotations manifest_size tag_count status archived_at activated_at "
        "has_lost_subject",
        identity=True,
    ),
    # Each may have 4 MiB.
    Table("manifests", ("image_id",), ("content",), binary=("content",), page=20),
    _table("image_layers", "image_id blob_id", "repository_id media_type"),
    _table("image_children", "image_id child_id"),
    _table("missing_references", "image_id digest", "repository_id media_type is_child"),
    _table("tags", "repository_id tag", "image_id checked_at etag"),
    _table("upstream_subjects", "repository_id subject", "checked_at"),
    _table("upstream_imports", "repository_id digest", "is_manifest not_before failures"),
    _table(
        "trash_repositories",
        "repository_id",
        "registry_id region name lifecycle_policy deleted_at kept_until",
    ),
    _table("trash_bins", "repository_id", "bin_id"),
    _table("trash_images", "image_id", "tags deleted_at kept_until"),
    _table("scanning_configurations", "registry_id region", "scan_type rules reconsidered"),
    _table(
        "scans",
        "image_id",
        "scan_type is_continuous status description requested_at completed_at feed "
        "feed_updated_at counts",
    ),
    Table(
        "scan_results",
        ("image_id",),
        ("inventory", "findings"),
        binary=("inventory", "findings"),
        page=20,
    ),
    _table("advisory_feed", "id", "number updated_at source"),
    _table("advisories", "id since", "until modified content"),
    _table("advisory_packages", "ecosystem name advisory_id since", "affected"),
    _table(
        "outbox", "id", "registry_id region repository kind actor happened_at detail", identity=True
    ),
    _table(
        "events",
        "position",
        "id registry_id region repository kind actor happened_at detail",
        identity=True,
    ),
    _table("event_readers", "name", "position"),
    _table("replication_rules", "registry_id region", "rules"),
    _table(
        "replications",
        "repository_id digest destination_id destination_region",
        "waiting failure_code",
    ),
    _table(
        "backfills",
        "id",
        "registry_id region destination_id destination_region status place total completed failed "
        "is_prepared started_at ended_at",
    ),
    _table(
        "backfill_results",
        "id",
        "backfill_id repository digest tag failure_code child_failure_code",
        identity=True,
    ),
    _table("lanes", "id", "work owner key attempts next_at failure", identity=True),
    _table("tasks", "id", "lane_id batch created_at body", identity=True),
    _table("webhooks", "id", "registry_id region url kinds repositories created_at"),
    _table(
        "dead_deliveries",
        "id",
        "webhook_id repository attempts failure died_at body",
        identity=True,
    ),
)


def is_empty(tx: Transaction, names: Sequence[str] = ()) -> bool:
    """Tell whether no table has a row; of an earlier schema, none of those that it has."""
    checked = [_checked(name) for name in names or [table.name for table in TABLES]]
    return all(tx.one(f"SELECT 1 FROM {name} LIMIT 1") is None for name in checked)  # noqa: S608 - checked


def _checked(name: str) -> str:
    """Give what can be a name in a statement; raises `ValueError` for anything else."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name}' is a name that no table has")
    return name


def count_rows(tx: Transaction) -> int:
    """Count the rows of all tables."""
    counts = (tx.one(f"SELECT count(*) FROM {table.name}") or (0,) for table in TABLES)  # noqa: S608 - from the table above
    return sum(int(count) for (count,) in counts)


def read_rows(tx: Transaction, table: Table) -> Iterator[list[Row]]:
    """Give all rows in pages, in the order of their keys; columns in the table's order."""
    columns, keys = ", ".join(table.columns), ", ".join(table.keys)
    places = ", ".join("?" * len(table.keys))
    after: Row = ()
    while True:
        behind = f" WHERE ({keys}) > ({places})" if after else ""
        rows = tx.all(
            f"SELECT {columns} FROM {table.name}{behind} ORDER BY {keys} LIMIT ?",  # noqa: S608 - from the table above
            *after,
            table.page,
        )
        if rows:
            yield rows
        if len(rows) < table.page:
            return
        after = rows[-1][: len(table.keys)]


def insert_rows(tx: Transaction, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write rows with exactly these columns. Raises `ValueError` for what can be no name."""
    places, named = ", ".join("?" * len(columns)), ", ".join(map(_checked, columns))
    tx.many(f"INSERT INTO {_checked(name)} ({named}) VALUES ({places})", rows)  # noqa: S608 - checked


def list_blobs(tx: Transaction) -> Iterator[tuple[str, str, int]]:
    """Give digest, key and size of all blobs that are not lost, in the order of their digests."""
    after = ""
    while rows := tx.all(
        "SELECT digest, key, size FROM blobs WHERE digest > ? AND lost_at IS NULL "
        "ORDER BY digest LIMIT 1000",
        after,
    ):
        yield from ((row[0], row[1], row[2]) for row in rows)
        after = rows[-1][0]


def sum_of_sizes(tx: Transaction) -> int:
    """Give the bytes of all blobs that are not lost."""
    row = tx.one("SELECT coalesce(sum(size), 0) FROM blobs WHERE lost_at IS NULL")
    return int(row[0]) if row else 0


def list_blobs_behind(tx: Transaction, after: int, limit: int) -> list[tuple[int, str, str, int]]:
    """Give id, digest, key and size of up to `limit` blobs that are not lost, in the order of
    their ids, those behind `after`.
    """
    rows = tx.all(
        "SELECT id, digest, key, size FROM blobs WHERE id > ? AND lost_at IS NULL "
        "ORDER BY id LIMIT ?",
        after,
        limit,
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def find_key(tx: Transaction, digest: str) -> str | None:
    """Give the key under which the bytes of the digest are now, None where there are none."""
    row = tx.one("SELECT key FROM blobs WHERE digest = ? AND lost_at IS NULL", digest)
    return None if row is None else str(row[0])


def mark_lost(tx: Transaction, digest: str, now: float) -> None:
    """Note that the bytes of the digest are not there."""
    tx.run("UPDATE blobs SET lost_at = ? WHERE digest = ?", now, digest)
