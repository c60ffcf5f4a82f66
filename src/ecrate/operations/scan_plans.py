"""How repositories are scanned, and what that means for an image that is pushed."""

from __future__ import annotations

from ecrate.domain.images import Manifest
from ecrate.domain.repositories import Repository
from ecrate.domain.scanning import ScanPlan, is_scannable
from ecrate.store import scans as store
from ecrate.store.database import Transaction


def find_plan(tx: Transaction, repository: Repository) -> ScanPlan:
    """Give how the repository's images are scanned."""
    configuration = store.find_configuration(tx, repository.ref.registry)
    return configuration.plan(repository.ref.name, scan_on_push=repository.scan_on_push)


def scan_pushed_image(
    tx: Transaction, repository: Repository, image_id: int, manifest: Manifest, now: float
) -> None:
    """Let an image that is new wait for its scan if its repository's are scanned on push."""
    if is_scannable(manifest.media_type, manifest.artifact_media_type):
        plan = find_plan(tx, repository)
        if plan.is_on_push:
            store.request_scan(tx, image_id, plan, now)
