"""The collector: always at work, in small batches, beside pushes and pulls.

Bytes go in five steps, each a short transaction that proves what it relies on: the trash lets go
of what is past its time; a link that no image needs lapses; a blob that nothing links loses its
row; its key waits in quarantine; then the bytes are deleted. A push of the same digest meanwhile
either finds the row, and its link protects it, or stores other bytes under another key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ecrate.operations.core import Core
from ecrate.operations.leases import take_lease
from ecrate.store import garbage as store

BATCH: Final = 25
# Each is an image with all its references.
TRASH_BATCH: Final = 100
LEASE: Final = "collector"


@dataclass(frozen=True, slots=True)
class Collected:
    """How many of each one step settled."""

    trash: int = 0
    links: int = 0
    blobs: int = 0
    uploads: int = 0
    files: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether no step filled its batch, so that nothing more waits right now."""
        rows = max(self.links, self.blobs, self.uploads, self.files)
        return rows < BATCH and self.trash < TRASH_BATCH


def take_collector_lease(core: Core, holder: str) -> bool:
    """Take the lease, and count from nothing what this holder collects."""
    return take_lease(
        core, LEASE, holder, on_taken=lambda tx, now: store.begin_counting(tx, LEASE, now)
    )


def collect(core: Core) -> Collected:
    """Settle up to one batch of each step. Stopping after any statement loses nothing."""
    limits, now = core.limits, core.clock()
    # One transaction would keep locks that the next step does not need, in another order.
    trash = _empty_trash(core, now)
    with core.database.write() as tx:
        uploads = store.delete_idle_uploads(tx, now - limits.upload_idle, now, BATCH)
    with core.database.write() as tx:
        store.forget_completed_uploads(tx, now - limits.completed_upload_kept, BATCH)
    with core.database.write() as tx:
        links = store.unlink_lapsed_layers(tx, now - limits.layer_grace, BATCH)
    with core.database.write() as tx:
        blobs = store.condemn_unlinked_blobs(tx, now, BATCH)
    with core.database.write() as tx:
        # What is claimed now no row needs, nor does any that a hold begun later relies on.
        is_held = store.is_held(tx, now)
        garbage = [] if is_held else store.claim_garbage(tx, now - limits.quarantine, BATCH)
    for key, _, state in garbage:
        core.blobs.delete(key, state)
    collected = Collected(trash, links, blobs, uploads, len(garbage))
    if collected != Collected():
        with core.database.write() as tx:
            store.delete_garbage(tx, [key for key, _, _ in garbage])
            size = sum(size for _, size, _ in garbage)
            store.count_collected(tx, LEASE, (trash, links, blobs, uploads, len(garbage), size))
    return collected


def _empty_trash(core: Core, now: float) -> int:
    with core.database.write() as tx:
        count = store.delete_images_past_time(tx, now, TRASH_BATCH)
    while count < TRASH_BATCH:
        with core.database.write() as tx:
            rows = store.delete_repository_past_time(tx, now, TRASH_BATCH - count)
        if not rows:
            break
        count += rows
    return count


def collect_strays(core: Core) -> int:
    """Delete bytes that no row accounts for, left by a crash between two writes; give how many.

    Only bytes older than an upload may be idle are looked at, so none that a request is about
    to account for. It ends early while a hold keeps all bytes.
    """
    count = 0
    for key, state in core.blobs.list_keys(core.clock() - core.limits.upload_idle):
        with core.database.look() as tx:
            if store.is_held(tx, core.clock()):
                break
            is_known = store.is_known_key(tx, key)
        if not is_known:
            core.blobs.delete(key, state)
            count += 1
    return count
