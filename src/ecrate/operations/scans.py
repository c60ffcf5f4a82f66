"""Scans: asking for one, what it found, and when images are scanned by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecrate.domain.errors import (
    ImageArchived,
    LimitExceeded,
    RepositoryNotFound,
    ScanNotFound,
    UnsupportedImageType,
    ValidationFailed,
)
from ecrate.domain.images import Image
from ecrate.domain.names import ImageId, RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.domain.scanning import (
    ENHANCED,
    Scan,
    ScanningConfiguration,
    ScanningRule,
    ScanPlan,
    is_scannable,
)
from ecrate.operations.advisories import read_advisories
from ecrate.operations.authorization import authorize, open_repository
from ecrate.operations.core import Core
from ecrate.operations.images import find_existing
from ecrate.operations.scan_plans import find_plan
from ecrate.scanning.advisories import Advisory
from ecrate.scanning.inventory import Inventory
from ecrate.scanning.matching import Match
from ecrate.scanning.results import unpack_findings, unpack_inventory
from ecrate.store import advisories
from ecrate.store import scans as store
from ecrate.store.images import list_tags_of_image


@dataclass(frozen=True, slots=True)
class RepositoryScanning:
    """How a repository is scanned; `scan_on_push` is its own setting."""

    repository: Repository
    plan: ScanPlan


@dataclass(frozen=True, slots=True)
class ScanPage:
    """A scan with a page of its findings. `advisories` has those of the page that are known."""

    image: Image
    tags: Sequence[str]
    scan: Scan
    matches: Sequence[Match]
    inventory: Inventory
    advisories: Mapping[str, Advisory]
    next_rank: tuple[int, str, int] | None


def put_registry_scanning_configuration(
    core: Core,
    caller: Caller,
    registry: RegistryRef,
    scan_type: str | None,
    rules: Sequence[ScanningRule],
) -> ScanningConfiguration:
    """Put these rules in the place of any others, and without a type leave that as it is; give the
    configuration. What it means for images that are there already is seen to in the background.

    Raises `InvalidParameter`.
    """
    with core.database.write() as tx:
        authorize(tx, caller, registry, "PutRegistryScanningConfiguration")
        if scan_type is None:
            scan_type = store.find_configuration(tx, registry).scan_type
        configuration = ScanningConfiguration.parse(scan_type, rules)
        store.put_configuration(tx, registry, configuration)
        return configuration


def get_registry_scanning_configuration(
    core: Core, caller: Caller, registry: RegistryRef
) -> ScanningConfiguration:
    with core.database.read() as tx:
        authorize(tx, caller, registry, "GetRegistryScanningConfiguration")
        return store.find_configuration(tx, registry)


def batch_get_repository_scanning_configuration(
    core: Core, caller: Caller, refs: Sequence[RepositoryRef]
) -> list[RepositoryScanning | RepositoryNotFound]:
    """Give for each how it is scanned, or that it is not there."""
    action = "BatchGetRepositoryScanningConfiguration"
    answers: list[RepositoryScanning | RepositoryNotFound] = []
    with core.database.read() as tx:
        for ref in refs:
            try:
                repository = open_repository(tx, caller, ref, action)
            except RepositoryNotFound as error:
                answers.append(error)
                continue
            answers.append(RepositoryScanning(repository, find_plan(tx, repository)))
    return answers


def start_image_scan(
    core: Core, caller: Caller, ref: RepositoryRef, image_id: ImageId
) -> tuple[Image, Scan]:
    """Let the image be scanned soon; one that waits already goes on waiting.

    Raises `ImageNotFound`, `ImageArchived`, `UnsupportedImageType`, `ValidationFailed` where
    scanning is `ENHANCED`, and `LimitExceeded` too soon after the last time.
    """
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "StartImageScan")
        image = find_existing(tx, repository, image_id)
        plan = find_plan(tx, repository)
        if plan.scan_type == ENHANCED:
            raise ValidationFailed("This feature is disabled")  # [A]
        if image.storage.status_at(core.clock()) != "ACTIVE":
            raise ImageArchived(image.digest.text, ref.name)
        if not is_scannable(image.media_type, image.artifact_media_type):
            raise UnsupportedImageType(image.digest.text, ref.name)
        scan = store.find_scan(tx, image.id)
        if scan is not None and core.clock() - scan.requested_at < core.limits.scan_pause:
            raise LimitExceeded("The scan quota per image has been exceeded. Wait and try again.")
        if scan is None or scan.status != "WAITING":
            store.request_scan(tx, image.id, plan, core.clock())
            scan = store.find_scan(tx, image.id)
    if scan is None:
        raise AssertionError
    return image, scan


def describe_image_scan_findings(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    image_id: ImageId,
    *,
    after: tuple[int, str, int] | None,
    limit: int,
) -> ScanPage:
    """Give the image's last scan and a page of what it found, the worst first, behind `after`.

    Raises `ImageNotFound`, `ScanNotFound`. While a scan is at work there are no findings.
    """
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "DescribeImageScanFindings")
        image = find_existing(tx, repository, image_id)
        scan = store.find_scan(tx, image.id)
        if scan is None:
            raise ScanNotFound(
                "null" if image_id.digest is None else image_id.digest.text,
                image_id.tag or "null",
                ref.name,
                ref.registry.id,
            )
        results = store.find_results(tx, image.id) if scan.status == "COMPLETE" else None
        tags = list_tags_of_image(tx, image.id)
        if results is None:
            return ScanPage(image, tags, scan, (), Inventory(), {}, None)
        findings = unpack_findings(results[1])
        left = [one for one in findings.matches if after is None or one.rank > after]
        page = left[:limit]
        ids = sorted({one.advisory for one in page} - findings.advisories.keys())
        feed = advisories.find_feed(tx)
        known = read_advisories(advisories.find_contents(tx, feed.number, ids))
    return ScanPage(
        image=image,
        tags=tags,
        scan=scan,
        matches=page,
        inventory=unpack_inventory(results[0]),
        advisories={**known, **findings.advisories},
        next_rank=page[-1].rank if len(left) > limit else None,
    )
