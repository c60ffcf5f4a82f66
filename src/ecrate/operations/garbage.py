"""For operators: what waits for the collector, why a blob stays or goes, back from quarantine."""

from __future__ import annotations

from typing import Final

from ecrate.domain.errors import GarbageNotFound
from ecrate.domain.garbage import Backlog, Explanation, Work
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.operations.collection import LEASE
from ecrate.operations.core import Core
from ecrate.store import backlog, garbage, layers
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository

_LINKS: Final = 100
_IMAGES: Final = 10


def describe_backlog(core: Core) -> tuple[Work | None, Backlog]:
    """Give what the collector has done, None where it never ran, and what waits for it."""
    limits, now = core.limits, core.clock()
    with core.database.read() as tx:
        return backlog.find_work(tx, LEASE), Backlog(
            trash=backlog.count_trash(tx, now),
            links=backlog.count_links(tx, now - limits.layer_grace),
            uploads=backlog.count_uploads(tx, now - limits.upload_idle),
            unlinked_blobs=backlog.count_unlinked_blobs(tx),
            quarantine=backlog.count_garbage(tx, limits.quarantine, now),
        )


def explain_blob(core: Core, digest: Digest) -> Explanation:
    """Tell all that keeps the bytes of this digest, or where they are on their way out."""
    limits = core.limits
    with core.database.read() as tx:
        quarantined = backlog.list_quarantined(tx, digest.text, limits.quarantine)
        found = backlog.find_blob(tx, digest.text)
        if found is None:
            return Explanation(digest, None, None, 0, [], [], quarantined)
        blob_id, size, stored_at = found
        return Explanation(
            digest=digest,
            size=size,
            stored_at=stored_at,
            link_count=backlog.count_links_of(tx, blob_id),
            links=backlog.list_links(
                tx, blob_id, limits.layer_grace, limit=_LINKS, image_limit=_IMAGES
            ),
            keepers=backlog.list_keepers(tx, blob_id, _LINKS),
            quarantined=quarantined,
        )


def restore_layer(core: Core, ref: RepositoryRef, digest: Digest) -> float:
    """Let the bytes of this digest, out of quarantine or still in use, be a layer of the
    repository; give when that lapses unless an image needs it by then.

    Raises `RepositoryNotFound`, `GarbageNotFound`.
    """
    now = core.clock()
    with core.database.read() as tx:
        found = garbage.find_garbage(tx, digest.text)
    if found is not None and not core.blobs.exists(*found):
        found = None
    with core.database.write() as tx:
        repository = find_repository(tx, ref)
        blob_id = _find_or_restore(tx, digest, found, now)
        layers.link_layer(tx, repository.id, blob_id, now)
    return now + core.limits.layer_grace


def _find_or_restore(
    tx: Transaction, digest: Digest, found: tuple[str, int] | None, now: float
) -> int:
    """Give the blob of the digest, locked, with the bytes `found` in quarantine if need be."""
    while True:
        blob = layers.find_blob(tx, digest.text)
        is_lost = blob is not None and blob[2]
        if blob is not None and not is_lost:
            return blob[0]
        if found is None or (is_lost and not garbage.take_garbage(tx, found[0])):
            raise GarbageNotFound(digest.text)
        if blob is not None:
            layers.replace_blob_key(tx, blob[0], found[0])
            return blob[0]
        # Somebody else may be storing the digest this moment.
        blob_id = layers.insert_blob(tx, digest, *found, now)
        if blob_id is not None:
            if not garbage.take_garbage(tx, found[0]):
                raise GarbageNotFound(digest.text)
            return blob_id
