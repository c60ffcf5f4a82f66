"""The collector: always at work, in small batches, beside pushes and pulls.

Bytes go in four steps, each a short transaction that proves what it relies on: a link that no
image needs lapses; a blob that nothing links loses its row; its key waits in quarantine; then
the bytes are deleted. A push of the same digest meanwhile either finds the row, and its link
protects it, or stores other bytes under another key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ecrate.operations.core import Core
from ecrate.store import garbage as store

BATCH: Final = 200
_LEASE: Final = "collector"
_LEASE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Collected:
    """How many of each one step settled."""

    links: int = 0
    blobs: int = 0
    uploads: int = 0
    files: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether no step filled its batch, so that nothing more waits right now."""
        return max(self.links, self.blobs, self.uploads, self.files) < BATCH


def take_collector_lease(core: Core, holder: str) -> bool:
    """Tell whether `holder` is to collect for the next half minute; no two are at once."""
    now = core.clock()
    with core.database.look() as tx:
        held = store.find_lease(tx, _LEASE)
    if held is not None:
        owner, until = held
        if owner != holder and until > now:
            return False
        if owner == holder and until > now + _LEASE_SECONDS / 2:
            return True
    with core.database.write() as tx:
        return store.take_lease(tx, _LEASE, holder, now, _LEASE_SECONDS)


def collect(core: Core) -> Collected:
    """Settle up to one batch of each step. Stopping after any statement loses nothing."""
    limits, now = core.limits, core.clock()
    # One transaction would keep locks that the next step does not need, in another order.
    with core.database.write() as tx:
        uploads = store.delete_idle_uploads(tx, now - limits.upload_idle, now, BATCH)
    with core.database.write() as tx:
        store.forget_completed_uploads(tx, now - limits.completed_upload_kept, BATCH)
    with core.database.write() as tx:
        links = store.unlink_lapsed_layers(tx, now - limits.layer_grace, BATCH)
    with core.database.write() as tx:
        blobs = store.condemn_unlinked_blobs(tx, now, BATCH)
    with core.database.look() as tx:
        keys = store.list_garbage(tx, now - limits.quarantine, BATCH)
    for key in keys:
        core.blobs.delete(key)
    if keys:
        with core.database.write() as tx:
            store.delete_garbage(tx, keys)
    return Collected(links, blobs, uploads, len(keys))


def collect_strays(core: Core) -> int:
    """Delete bytes that no row accounts for, left by a crash between two writes; give how many.

    Only bytes older than an upload may be idle are looked at, so none that a request is about
    to account for.
    """
    count = 0
    for key in core.blobs.list_keys(core.clock() - core.limits.upload_idle):
        with core.database.look() as tx:
            is_known = store.is_known_key(tx, key)
        if not is_known:
            core.blobs.delete(key)
            count += 1
    return count
