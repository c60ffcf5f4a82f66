"""A writer's claim on an upload, in the upload's row: what keeps other writers out where the blob
store has no locks.

A claim is a random name and a time. Its holder renews it; who finds it expired may put its own in
place. So a node that dies blocks an upload for half a minute at most, and one that only was slow
finds another's claim at its next step, which then fails: whatever changes an upload's row names the
claim it relies on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ecrate.blobs.port import BusyError
from ecrate.operations.core import Core
from ecrate.store import layers as store

CLAIM_SECONDS: Final = 30.0
_RETRY: Final = 0.05


class ClaimedRow:
    """One writer's view of an upload's row: the `UploadRow` that blob drivers are given."""

    def __init__(self, core: Core, upload_id: str) -> None:
        self._core = core
        self._id = upload_id
        self._claim = ""
        self._state = b""
        self._until = 0.0

    def claim(self, change: Callable[[bytes], bytes], wait: float) -> bytes:
        deadline = time.monotonic() + wait
        claim = self._core.new_id()
        while True:
            now = self._core.clock()
            with self._core.database.read() as tx:
                found = store.find_claim(tx, self._id)
            if found is None:
                raise FileNotFoundError(self._id)
            held_by, until, state = found
            # One that ends farther ahead is of before the clock was set back.
            if not held_by or not now <= until <= now + 2 * CLAIM_SECONDS:
                after = change(state)
                self._until = now + CLAIM_SECONDS
                with self._core.database.write() as tx:
                    if store.take_claim(
                        tx, self._id, (held_by, state), (claim, after), self._until
                    ):
                        self._claim, self._state = claim, after
                        return state
            if time.monotonic() >= deadline:
                raise BusyError
            time.sleep(_RETRY)

    def keep(self, state: bytes) -> None:
        now = self._core.clock()
        self._state, self._until = state, now + CLAIM_SECONDS
        with self._core.database.write() as tx:
            if not store.renew_claim(tx, self._id, self._claim, state, until=self._until, now=now):
                raise BusyError

    def renew(self) -> None:
        if self._core.clock() > self._until - CLAIM_SECONDS / 2:
            self.keep(self._state)

    def release(self, state: bytes) -> bool:
        claim, self._claim = self._claim, ""
        if not claim:
            return False
        with self._core.database.write() as tx:
            return store.release_claim(tx, self._id, claim, state)

    def forget(self) -> None:
        """Note that the row has no claim any more: what was written counts."""
        self._claim = ""
