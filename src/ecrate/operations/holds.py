"""Holds: while there is one, nothing deletes bytes, whatever becomes of their rows.

Who copies bytes that a snapshot of the rows names, or brings bytes in before their rows, takes a
hold first. It ends with its holder, or a quarter of an hour after that was last heard of.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ecrate.domain.errors import HoldLost
from ecrate.operations.core import Core
from ecrate.store import garbage as store

_SECONDS: Final = 900.0
_RENEW_EVERY: Final = 60.0


class Hold:
    """A hold on all bytes of a core, to be renewed as its holder goes on."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._id = core.new_id()
        self._renewed_at = 0.0
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Keep the hold; costs nothing when called often, by any thread. Raises `HoldLost` when it
        had ended.
        """
        with self._lock:
            now = self._core.clock()
            if 0 <= now - self._renewed_at < _RENEW_EVERY:
                return
            with self._core.database.write() as tx:
                if not store.renew_hold(tx, self._id, now, now + _SECONDS):
                    raise HoldLost
            self._renewed_at = now

    def take(self) -> None:
        """Begin it. Bytes that a row names from now on stay."""
        now = self._core.clock()
        with self._core.database.write() as tx:
            store.insert_hold(tx, self._id, now, now + _SECONDS)
        self._renewed_at = now

    def end(self) -> None:
        with self._core.database.write() as tx:
            store.delete_hold(tx, self._id)


@contextmanager
def holding(core: Core) -> Iterator[Hold]:
    """Hold all bytes for a block, which calls `renew` as it goes on."""
    hold = Hold(core)
    hold.take()
    try:
        yield hold
    finally:
        hold.end()
