"""Scanning, in the background: images that wait, and old inventories under new advisories.

A scan reads layers in a child process, matches what is in them, and writes what it found in one
transaction. Until then the image goes on waiting, so whatever breaks a scan off, it is done again.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from ecrate.domain.errors import EcrateError, ManifestDamaged, StoreUnavailable
from ecrate.domain.images import Descriptor, parse_manifest
from ecrate.domain.scanning import is_scannable
from ecrate.operations.advisories import Advisories
from ecrate.operations.core import Core
from ecrate.operations.sboms import ACTOR, push_sboms
from ecrate.scanning.external import ScannerError, read_report, run_scanner
from ecrate.scanning.inventory import Inventory
from ecrate.scanning.matching import Match, Matcher
from ecrate.scanning.reading import LayerSource, ReadingError, read_inventory
from ecrate.scanning.results import Findings, pack, unpack_findings, unpack_inventory
from ecrate.store import advisories, layers
from ecrate.store import scans as store
from ecrate.store.database import Transaction
from ecrate.store.events import insert_event
from ecrate.store.images import list_tags_of_image, read_manifest
from ecrate.store.repositories import lock_repositories

_LOG: Final = logging.getLogger("ecrate")
_PAGE: Final = 100
_DONE: Final = "The scan was completed successfully."
# AWS: as users have published it.
_UNSUPPORTED: Final = (
    "UnsupportedImageError: The operating system and/or package manager are not supported."
)
_LONGEST_DESCRIPTION: Final = 1000

MayGoOn = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """`size` bytes are all that an image's layers may unpack to. `command` is that of an external
    scanner, empty for none. With `sboms`, bills of materials become referrers.
    """

    size: int
    command: str = ""
    sboms: bool = True


class _Failed(Exception):
    """The scan ends with this status and description."""

    def __init__(self, status: str, description: str) -> None:
        super().__init__(description)
        self.status = status


class Scanner:
    """Does what waits, a piece at a time; the caller holds the lease on it."""

    def __init__(self, settings: ScanSettings) -> None:
        self._settings = settings
        self._matcher: tuple[advisories.Feed, Matcher] | None = None

    def run(self, core: Core, may_go_on: MayGoOn) -> bool:
        """Do a piece of the work; tell whether more waits."""
        try:
            return self._scan(core, may_go_on) or self._reconsider(core) or self._rematch(core)
        except InterruptedError:
            return False

    def _scan(self, core: Core, may_go_on: MayGoOn) -> bool:
        with core.database.look() as tx:
            waiting = store.find_waiting(tx)
            image = None if waiting is None else store.find_image(tx, waiting[0])
        if waiting is None:
            return False
        image_id, requested_at = waiting
        if image is None:
            # It is deleted, or in the trash.
            with core.database.write() as tx:
                store.forget_scan(tx, image_id)
            return True
        inventory, findings, feed = Inventory(), Findings(), advisories.Feed()
        status, description = "COMPLETE", _DONE
        try:
            inventory = self._read(core, image, may_go_on)
            inventory, findings, feed = self._judge(core, image, inventory, may_go_on)
        except _Failed as error:
            status, description = error.status, str(error)[:_LONGEST_DESCRIPTION]
        outcome = store.Outcome(status, description, findings.counts, feed.number, feed.updated_at)
        # First, since what is finished is not begun again.
        if status == "COMPLETE" and self._settings.sboms:
            self._push_sboms(core, image, inventory)
        self._finish(core, image, requested_at, outcome, (inventory, findings))
        return True

    def _read(self, core: Core, image: store.ScannedImage, may_go_on: MayGoOn) -> Inventory:
        sources = [
            LayerSource(layer.digest.text, size, partial(core.blobs.open_blob, key))
            for layer, key, size in _layers_of(core, image)
        ]
        try:
            inventory = read_inventory(sources, self._settings.size, may_go_on)
        except ReadingError as error:
            raise _Failed(
                "TOO_LARGE" if error.kind == "TOO_LARGE" else "FAILED", str(error)
            ) from error
        except FileNotFoundError:
            raise _Failed("FAILED", "the bytes of a layer are gone; see `ecrate fsck`") from None
        if not inventory.is_supported:
            raise _Failed("UNSUPPORTED", _UNSUPPORTED)
        return inventory

    def _judge(
        self, core: Core, image: store.ScannedImage, inventory: Inventory, may_go_on: MayGoOn
    ) -> tuple[Inventory, Findings, advisories.Feed]:
        now = core.clock()
        matcher, feed = self._current(core)
        if not self._settings.command:
            matches = matcher.match(inventory)
            return inventory, Findings(_seen(matches, {}, now)), feed
        try:
            report = self._ask(core, image, may_go_on)
            inventory, findings = read_report(report, inventory)
        except ScannerError as error:
            raise _Failed("FAILED", f"external scanner: {error}") from None
        matches = _seen(findings.matches, {}, now)
        return inventory, msgspec.structs.replace(findings, matches=matches), feed

    def _ask(self, core: Core, image: store.ScannedImage, may_go_on: MayGoOn) -> dict[str, object]:
        """Write the image as an OCI layout for the external scanner, and let it look."""
        with tempfile.TemporaryDirectory(prefix="ecrate-scan-") as name:
            layout = Path(name) / "layout"
            _write_layout(core, image, layout, may_go_on)
            return run_scanner(self._settings.command, layout, Path(name) / "report", may_go_on)

    def _current(self, core: Core) -> tuple[Matcher, advisories.Feed]:
        """Give what judges by the advisories in force now."""
        with core.database.look() as tx:
            feed = advisories.find_feed(tx)
        if self._matcher is None or self._matcher[0].number != feed.number:
            self._matcher = (feed, Matcher(Advisories(core, feed).about))
        return self._matcher[1], feed

    def _finish(
        self,
        core: Core,
        image: store.ScannedImage,
        requested_at: float,
        outcome: store.Outcome,
        results: tuple[Inventory, Findings],
    ) -> None:
        inventory, findings = (pack(one) for one in results)
        with core.database.write() as tx:
            lock_repositories(tx, [image.repository_id])
            if not store.finish_scan(tx, image.id, requested_at, outcome, core.clock()):
                return
            store.put_results(tx, image.id, inventory, findings)
            if outcome.status == "COMPLETE":
                _note_scan(tx, image.id, outcome.counts, core.clock())
        _LOG.info("scanned %s@%s: %s", image.ref.arn, image.digest, outcome.status)

    def _push_sboms(self, core: Core, image: store.ScannedImage, inventory: Inventory) -> None:
        try:
            push_sboms(core, image, inventory)
        except StoreUnavailable:
            raise
        except EcrateError as error:
            _LOG.warning("no bill of materials for %s@%s: %s", image.ref.arn, image.digest, error)

    def _reconsider(self, core: Core) -> bool:
        """Let a page of images count under a registry's new configuration."""
        with core.database.look() as tx:
            found = store.find_new_configuration(tx)
        if found is None:
            return False
        registry, before = found
        with core.database.write() as tx:
            configuration = store.find_configuration(tx, registry)
            rows = store.list_images_behind(tx, registry, before, _PAGE)
            after = rows[-1][0] if len(rows) == _PAGE else None
            if not store.note_reconsidered(tx, registry, before, after):
                return True
            for image_id, name, scan_on_push, media_type, artifact_media_type, is_scanned in rows:
                plan = configuration.plan(name, scan_on_push=bool(scan_on_push))
                if is_scanned:
                    store.update_plan(tx, image_id, plan)
                elif plan.is_continuous and is_scannable(media_type, artifact_media_type):
                    store.request_scan(tx, image_id, plan, core.clock())
        return True

    def _rematch(self, core: Core) -> bool:
        """Judge a page of inventories by newer advisories, without their layers.

        What an external scanner found is its business: its images are scanned anew on demand.
        """
        if self._settings.command:
            return False
        matcher, feed = self._current(core)
        with core.database.look() as tx:
            rows = store.list_outdated(tx, feed.number, _PAGE)
        if not rows:
            return False
        now = core.clock()
        changed: list[tuple[int, bytes, Mapping[str, int]]] = []
        unchanged: list[int] = []
        for image_id, packed_inventory, packed_findings in rows:
            inventory, before = unpack_inventory(packed_inventory), unpack_findings(packed_findings)
            seen = {(one.advisory, one.package): one.since for one in before.matches}
            after = Findings(_seen(matcher.match(inventory), seen, now))
            if after == before:
                unchanged.append(image_id)
            else:
                changed.append((image_id, pack(after), after.counts))
        with core.database.write() as tx:
            _lock_repositories_of(tx, [image_id for image_id, *_ in changed])
            store.update_matches(
                tx, changed, unchanged, feed=feed.number, feed_updated_at=feed.updated_at or now
            )
            for image_id, _, counts in changed:
                _note_scan(tx, image_id, counts, now)
        return True


def _seen(
    matches: Sequence[Match], before: Mapping[tuple[str, int], float], now: float
) -> tuple[Match, ...]:
    """Give the matches with the times since when they are known."""
    return tuple(
        msgspec.structs.replace(one, since=before.get((one.advisory, one.package), now))
        for one in matches
    )


def _lock_repositories_of(tx: Transaction, image_ids: Sequence[int]) -> None:
    found = (store.find_image(tx, image_id) for image_id in image_ids)
    lock_repositories(tx, sorted({one.repository_id for one in found if one is not None}))


def _note_scan(tx: Transaction, image_id: int, counts: Mapping[str, int], now: float) -> None:
    """Write the event, unless the image is gone. AWS: user guide, "Event for a completed image
    scan".
    """
    image = store.find_image(tx, image_id)
    if image is None:
        return
    detail = {
        "scan-status": "COMPLETE",
        "repository-name": image.ref.name,
        "finding-severity-counts": dict(counts),
        "image-digest": image.digest.text,
        "image-tags": list_tags_of_image(tx, image_id),
    }
    insert_event(
        tx,
        image.ref.registry,
        image.ref.name,
        "ECR Image Scan",
        json.dumps(detail, separators=(",", ":")),
        actor=ACTOR,
        now=now,
    )


def _layers_of(core: Core, image: store.ScannedImage) -> list[tuple[Descriptor, str, int]]:
    """Give the image's layers, from the base on, each with its blob's key and size; layers that
    are kept elsewhere are left out.
    """
    found = []
    with core.database.read() as tx:
        content = read_manifest(tx, image.id)
        if content is None:
            raise _Failed("FAILED", "the image is gone")
        if not image.digest.fits(content):
            raise _Failed("FAILED", str(ManifestDamaged(image.digest.text)))
        manifest = parse_manifest(content, algorithm=image.digest.algorithm)
        for layer in manifest.layers[1:]:
            there = layers.find_layer(tx, image.repository_id, layer.digest.text)
            if there is not None:
                found.append((layer, there.key, there.size))
            elif not layer.is_foreign:
                raise _Failed("FAILED", f"layer {layer.digest} is missing; see `ecrate fsck`")
    return found


def _write_layout(core: Core, image: store.ScannedImage, layout: Path, may_go_on: MayGoOn) -> None:
    """Source: image-spec 1.1, image-layout.md."""
    with core.database.read() as tx:
        content = read_manifest(tx, image.id) or b""
        manifest = parse_manifest(content, algorithm=image.digest.algorithm)
        config = layers.find_layer(tx, image.repository_id, manifest.layers[0].digest.text)
    if config is None:
        raise _Failed("FAILED", "the image's configuration is missing; see `ecrate fsck`")
    folder = layout / "blobs" / image.digest.algorithm
    folder.mkdir(parents=True)
    (folder / image.digest.text.partition(":")[2]).write_bytes(content)
    parts = [(manifest.layers[0], config.key, config.size), *_layers_of(core, image)]
    for layer, key, _ in parts:
        algorithm, _, encoded = layer.digest.text.partition(":")
        target = layout / "blobs" / algorithm / encoded
        target.parent.mkdir(exist_ok=True)
        if not may_go_on():
            raise InterruptedError
        with core.blobs.open_blob(key) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1024 * 1024)
    descriptor = {
        "mediaType": manifest.media_type,
        "digest": image.digest.text,
        "size": len(content),
    }
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="utf-8")
    index = {"schemaVersion": 2, "manifests": [descriptor]}
    (layout / "index.json").write_text(json.dumps(index), encoding="utf-8")
