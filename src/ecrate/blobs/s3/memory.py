"""Memory for bytes on their way to the store: one bounded pool for all uploads of a process."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

MIB: Final = 1024 * 1024
_KEPT: Final = 64  # segments that lie ready while nobody needs them


class Segments:
    """At most `count` pieces of memory of 1 MiB; some of those given back are used again."""

    def __init__(self, count: int) -> None:
        self._unmade = count
        self._free: deque[bytearray] = deque()
        self._changed = threading.Condition()

    def take(self, wait: float) -> bytearray | None:
        """Give a segment, None if there was none to be had for `wait` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._free or self._unmade, wait):
                return None
            if self._free:
                return self._free.pop()
            self._unmade -= 1
            return bytearray(MIB)

    def give_back(self, segments: list[bytearray]) -> None:
        """Take segments back; nobody may use them any more."""
        with self._changed:
            self._free.extend(segments)
            while len(self._free) > _KEPT:
                self._free.pop()
                self._unmade += 1
            self._changed.notify(len(segments))


class Buffer:
    """Bytes of one upload, in segments of the pool."""

    def __init__(self, pool: Segments) -> None:
        self._pool = pool
        self._segments: list[bytearray] = []
        self.size = 0

    def put(self, data: memoryview, wait: float) -> int:
        """Copy from the beginning of `data` up to the end of a segment, taking another one where
        it is needed; give how many bytes. That is none when no memory was to be had.
        """
        used = self.size % MIB
        if not used:
            segment = self._pool.take(wait)
            if segment is None:
                return 0
            self._segments.append(segment)
        count = min(len(data), MIB - used)
        self._segments[-1][used : used + count] = data[:count]
        self.size += count
        return count

    def split(self, size: int) -> Buffer:
        """Give the first `size` bytes, whole segments or all there is; the others stay here."""
        first = Buffer(self._pool)
        count = len(self._segments) if size >= self.size else size // MIB
        first._segments, self._segments = self._segments[:count], self._segments[count:]
        first.size = min(count * MIB, self.size)
        self.size -= first.size
        return first

    def pieces(self) -> list[memoryview]:
        """Give the bytes, good until `clear`."""
        views = [memoryview(segment) for segment in self._segments]
        if views and self.size % MIB:
            views[-1] = views[-1][: self.size % MIB]
        return views

    def clear(self) -> None:
        """Give all memory back."""
        self._pool.give_back(self._segments)
        self._segments = []
        self.size = 0
