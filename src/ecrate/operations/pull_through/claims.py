"""One fetch among all processes of all nodes: a lease in the database says whose it is.

Its holder renews it as bytes come. The others wait, each with the one thread that all their clients
for this share, until what they want is there, or it is their turn: because the holder failed, or
was not heard of any more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ecrate.domain.errors import StorageFull, StoreUnavailable
from ecrate.domain.upstream_errors import UpstreamUnavailable
from ecrate.operations.core import Core
from ecrate.operations.pull_through.fetches import Fetch
from ecrate.operations.pull_through.seam import PullThrough
from ecrate.store.leases import find_lease, release_lease, take_lease

_POLL: Final = 0.1


class Claim:
    """The right to fetch something, for as long as it is renewed."""

    def __init__(self, core: Core, seam: PullThrough, name: str) -> None:
        self._core = core
        self._seam = seam
        self._name = name
        self.id = core.new_id()
        self._renewed_at = 0.0

    @property
    def spool(self) -> Path:
        """The file of this very attempt."""
        return self._seam.spool / self.id

    def take(self) -> bool:
        """Tell whether nobody else has it."""
        now = self._core.clock()
        with self._core.database.write() as tx:
            is_taken = take_lease(tx, self._name, self.id, now, self._seam.claim)
        self._renewed_at = now
        return is_taken

    def renew(self) -> None:
        """Show that this goes on; costs nothing when called often."""
        if self._core.clock() - self._renewed_at > self._seam.claim / 4:
            self.take()

    def release(self) -> None:
        """Let others begin at once, or, where that cannot be written, when the lease is over."""
        with (
            contextlib.suppress(StorageFull, StoreUnavailable),
            self._core.database.write() as tx,
        ):
            release_lease(tx, self._name, self.id)

    def holders_spool(self) -> Path | None:
        """Give the file that the holder's bytes grow in, if that is on this node."""
        with self._core.database.look() as tx:
            held = find_lease(tx, self._name)
        spool = None if held is None else self._seam.spool / held[0]
        return spool if spool is not None and spool.exists() else None


def claimed(
    core: Core,
    seam: PullThrough,
    name: str,
    fetch: Fetch,
    *,
    is_there: Callable[[], bool],
    work: Callable[[Claim], None],
    upstream: str,
) -> None:
    """Do `work` under the claim of this name, unless another process does it first."""
    claim = Claim(core, seam, name)
    while not claim.take():
        if seam.fetches.is_stopping.is_set():
            raise UpstreamUnavailable(upstream, "the server stops")
        fetch.spool = claim.holders_spool() or fetch.spool
        time.sleep(_POLL)
        if is_there():
            return
    try:
        if not is_there():
            work(claim)
    finally:
        claim.release()
