"""Rows of scans: what was asked for, what is in an image, what that meets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.domain.scanning import Scan, ScanningConfiguration, ScanningRule, ScanPlan
from ecrate.store.database import Row, Transaction

_STEP = 500
_COLUMNS = (
    "scan_type, is_continuous, status, description, requested_at, completed_at, feed_updated_at, "
    "counts"
)


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """An image with where it is."""

    id: int
    repository_id: int
    ref: RepositoryRef
    digest: Digest
    pushed_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scan ended; `feed` and `feed_updated_at` name the advisories in force."""

    status: str
    description: str
    counts: Mapping[str, int]
    feed: int
    feed_updated_at: float | None


def find_configuration(tx: Transaction, registry: RegistryRef) -> ScanningConfiguration:
    """Give the registry's, or the first one where none was put."""
    row = tx.one(
        "SELECT scan_type, rules FROM scanning_configurations WHERE registry_id = ? AND region = ?",
        registry.id,
        registry.region,
    )
    if row is None:
        return ScanningConfiguration()
    rules = (ScanningRule(one[0], tuple(one[1])) for one in json.loads(row[1]))
    return ScanningConfiguration(row[0], tuple(rules))


def put_configuration(
    tx: Transaction, registry: RegistryRef, configuration: ScanningConfiguration
) -> None:
    """Put it in any other's place; all images wait to be reconsidered."""
    rules = json.dumps([[rule.frequency, list(rule.filters)] for rule in configuration.rules])
    tx.run(
        "INSERT INTO scanning_configurations (registry_id, region, scan_type, rules, reconsidered) "
        "VALUES (?, ?, ?, ?, 0) ON CONFLICT (registry_id, region) DO UPDATE SET "
        "scan_type = excluded.scan_type, rules = excluded.rules, reconsidered = 0",
        registry.id,
        registry.region,
        configuration.scan_type,
        rules,
    )


def find_new_configuration(tx: Transaction) -> tuple[RegistryRef, int] | None:
    """Give a registry whose images are to be reconsidered, and the id behind which to go on."""
    row = tx.one(
        "SELECT registry_id, region, reconsidered FROM scanning_configurations "
        "WHERE reconsidered IS NOT NULL ORDER BY registry_id, region LIMIT 1"
    )
    return None if row is None else (RegistryRef(row[0], row[1]), row[2])


def note_reconsidered(
    tx: Transaction, registry: RegistryRef, before: int, after: int | None
) -> bool:
    """Note how far it came, None for the end; False where it has begun anew meanwhile."""
    return bool(
        tx.run(
            "UPDATE scanning_configurations SET reconsidered = ? "
            "WHERE registry_id = ? AND region = ? AND reconsidered = ?",
            after,
            registry.id,
            registry.region,
            before,
        )
    )


def list_images_behind(tx: Transaction, registry: RegistryRef, after: int, limit: int) -> list[Row]:
    """Give (id, repository's name, scan_on_push, media type, artifact's media type, whether it was
    scanned) of images of a registry, in the order of their ids.
    """
    return tx.all(
        "SELECT i.id, r.name, r.scan_on_push, i.media_type, i.artifact_media_type, "
        "s.image_id IS NOT NULL FROM images i JOIN repositories r ON r.id = i.repository_id "
        "LEFT JOIN scans s ON s.image_id = i.id "
        "WHERE r.registry_id = ? AND r.region = ? AND i.id > ? ORDER BY i.id LIMIT ?",
        registry.id,
        registry.region,
        after,
        limit,
    )


def request_scan(tx: Transaction, image_id: int, plan: ScanPlan, now: float) -> None:
    """Let the image wait for a scan, in the place of any other."""
    tx.run(
        "INSERT INTO scans "
        "(image_id, scan_type, is_continuous, status, description, requested_at, counts) "
        "VALUES (?, ?, ?, 'WAITING', '', ?, '{}') ON CONFLICT (image_id) DO UPDATE SET "
        "scan_type = excluded.scan_type, is_continuous = excluded.is_continuous, "
        "status = 'WAITING', description = '', requested_at = excluded.requested_at",
        image_id,
        plan.scan_type,
        int(plan.is_continuous),
        now,
    )


def update_plan(tx: Transaction, image_id: int, plan: ScanPlan) -> None:
    """Let what is known of the image from here on count under another configuration."""
    tx.run(
        "UPDATE scans SET scan_type = ?, is_continuous = ? WHERE image_id = ?",
        plan.scan_type,
        int(plan.is_continuous),
        image_id,
    )


def find_scan(tx: Transaction, image_id: int) -> Scan | None:
    row = tx.one(f"SELECT {_COLUMNS} FROM scans WHERE image_id = ?", image_id)  # noqa: S608 - constants
    return None if row is None else _scan(row)


def find_counts(tx: Transaction, image_id: int) -> Mapping[str, int] | None:
    """Give how many findings of each severity the image has, None where it was never scanned."""
    scan = find_scan(tx, image_id)
    return None if scan is None or scan.status != "COMPLETE" else scan.counts


def find_scans(tx: Transaction, image_ids: Sequence[int]) -> dict[int, Scan]:
    """Give, by image, those that were asked for."""
    found: dict[int, Scan] = {}
    for start in range(0, len(image_ids), _STEP):
        some = image_ids[start : start + _STEP]
        marks = ", ".join("?" * len(some))
        rows = tx.all(
            f"SELECT image_id, {_COLUMNS} FROM scans WHERE image_id IN ({marks})",  # noqa: S608 - constants
            *some,
        )
        found.update((row[0], _scan(row[1:])) for row in rows)
    return found


def _scan(row: Row) -> Scan:
    return Scan(
        scan_type=row[0],
        is_continuous=bool(row[1]),
        status=row[2],
        description=row[3],
        requested_at=row[4],
        completed_at=row[5],
        feed_updated_at=row[6],
        counts=json.loads(row[7]),
    )


def find_waiting(tx: Transaction) -> tuple[int, float] | None:
    """Give the image that has waited longest, and since when."""
    row = tx.one(
        "SELECT image_id, requested_at FROM scans WHERE status = 'WAITING' "
        "ORDER BY requested_at LIMIT 1"
    )
    return None if row is None else (row[0], row[1])


def find_image(tx: Transaction, image_id: int) -> ScannedImage | None:
    """Give the image, None for one that is gone or in the trash."""
    row = tx.one(
        "SELECT i.id, r.id, r.registry_id, r.region, r.name, i.digest, i.pushed_at "
        "FROM images i JOIN repositories r ON r.id = i.repository_id "
        "WHERE i.id = ? AND r.registry_id <> 'trash'",
        image_id,
    )
    if row is None:
        return None
    ref = RepositoryRef(RegistryRef(row[2], row[3]), row[4])
    return ScannedImage(row[0], row[1], ref, Digest(row[5]), row[6])


def forget_scan(tx: Transaction, image_id: int) -> None:
    tx.run("DELETE FROM scans WHERE image_id = ?", image_id)


def finish_scan(
    tx: Transaction, image_id: int, requested_at: float, outcome: Outcome, now: float
) -> bool:
    """Note how the scan ended, unless another was asked for meanwhile; tell whether it counts."""
    return bool(
        tx.run(
            "UPDATE scans SET status = ?, description = ?, completed_at = ?, feed = ?, "
            "feed_updated_at = ?, counts = ? "
            "WHERE image_id = ? AND status = 'WAITING' AND requested_at = ?",
            outcome.status,
            outcome.description,
            now,
            outcome.feed,
            outcome.feed_updated_at,
            json.dumps(outcome.counts),
            image_id,
            requested_at,
        )
    )


def put_results(tx: Transaction, image_id: int, inventory: bytes, findings: bytes) -> None:
    tx.run(
        "INSERT INTO scan_results (image_id, inventory, findings) VALUES (?, ?, ?) "
        "ON CONFLICT (image_id) DO UPDATE SET inventory = excluded.inventory, "
        "findings = excluded.findings",
        image_id,
        inventory,
        findings,
    )


def find_results(tx: Transaction, image_id: int) -> tuple[bytes, bytes] | None:
    """Give the packed inventory and findings."""
    row = tx.one("SELECT inventory, findings FROM scan_results WHERE image_id = ?", image_id)
    return None if row is None else (bytes(row[0]), bytes(row[1]))


def list_outdated(tx: Transaction, feed: int, limit: int) -> list[tuple[int, bytes, bytes]]:
    """Give (image, packed inventory, packed findings) of up to `limit` continuous scans that were
    matched with advisories from before `feed`.
    """
    rows = tx.all(
        "SELECT s.image_id, p.inventory, p.findings FROM scans s "
        "JOIN scan_results p ON p.image_id = s.image_id "
        "WHERE s.is_continuous = 1 AND s.status = 'COMPLETE' AND s.feed < ? "
        "ORDER BY s.feed, s.image_id LIMIT ?",
        feed,
        limit,
    )
    return [(row[0], bytes(row[1]), bytes(row[2])) for row in rows]


def update_matches(
    tx: Transaction,
    changed: Iterable[tuple[int, bytes, Mapping[str, int]]],
    unchanged: Iterable[int],
    *,
    feed: int,
    feed_updated_at: float,
) -> None:
    """Note what images (id, packed findings, counts) meet under newer advisories."""
    changed = [*changed]
    tx.many(
        "UPDATE scan_results SET findings = ? WHERE image_id = ?",
        [(findings, image_id) for image_id, findings, _ in changed],
    )
    tx.many(
        "UPDATE scans SET feed = ?, feed_updated_at = ?, counts = ? WHERE image_id = ?",
        [(feed, feed_updated_at, json.dumps(counts), image_id) for image_id, _, counts in changed],
    )
    tx.many(
        "UPDATE scans SET feed = ?, feed_updated_at = ? WHERE image_id = ?",
        [(feed, feed_updated_at, image_id) for image_id in unchanged],
    )
