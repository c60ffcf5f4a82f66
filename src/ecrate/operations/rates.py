"""Rate limits: a token bucket an account, region and operation, over all workers of a server.

A bucket is one number, the time at which it is full again; a call puts that time off by what one
token takes to come back. A bucket whose time has come is full, and so as good as one that nobody
has touched yet. Hence the table needs neither an index nor cleaning:

    row = 8 slots, chosen by the key's hash      slot = key (16 bytes), full at (a double)

Workers share the table through a map made before they are forked. Whoever works on a row has its
bytes of the map's file locked, and the kernel unlocks them for a worker that dies.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from ecrate.domain.errors import RateExceeded
from ecrate.domain.names import RegistryRef

_SLOT: Final = struct.Struct("=16sd")
_ROW_SIZE: Final = 8 * _SLOT.size
_ROWS: Final = 1024
# A bucket holds what comes back to it in this time. [A]
_FULL: Final = 1.0
_ROUNDING: Final = 1e-6


class RateLimits:
    """Counts calls; `rates` are calls a second by operation, those not named are unlimited.

    Used by one thread of a process at a time. `clock` is one that all processes share.
    """

    def __init__(
        self, rates: Mapping[str, int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rates = rates
        self._clock = clock
        self._file = os.memfd_create("ecrate-rates")
        os.ftruncate(self._file, _ROWS * _ROW_SIZE)
        self._table = mmap.mmap(self._file, _ROWS * _ROW_SIZE)

    def take(self, registry: RegistryRef, operation: str) -> None:
        """Count a call by an account in a region; raises `RateExceeded` for one too many."""
        rate = self.rates.get(operation)
        if rate is None:
            return
        name = f"{registry.id} {registry.region} {operation}"
        key = blake2b(name.encode(), digest_size=16).digest()
        row = int.from_bytes(key[:4], "big") % _ROWS * _ROW_SIZE
        fcntl.lockf(self._file, fcntl.LOCK_EX, _ROW_SIZE, row)
        try:
            now = self._clock()
            slot, full_at = self._find(row, key)
            full_at = max(full_at, now) + 1 / rate
            if full_at > now + _FULL + _ROUNDING:
                raise RateExceeded
            _SLOT.pack_into(self._table, slot, key, full_at)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _ROW_SIZE, row)

    def _find(self, row: int, key: bytes) -> tuple[int, float]:
        """Give the slot of the key's bucket and when that is full; else the slot of the fullest
        bucket, whose place a full one is going to take.
        """
        slots = range(row, row + _ROW_SIZE, _SLOT.size)
        buckets = [(slot, *_SLOT.unpack_from(self._table, slot)) for slot in slots]
        for slot, found, full_at in buckets:
            if found == key:
                return slot, full_at
        return min(buckets, key=lambda bucket: bucket[2])[0], 0.0

    def close(self) -> None:
        """Give the table back; it goes with the last process that has it."""
        self._table.close()
        os.close(self._file)
