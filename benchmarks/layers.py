"""Layers to push: random bytes from one file, each layer with an end of its own.

What differs stands at the end, so that a layer's digest costs next to nothing: the hash of all
that comes before it is kept, one for each size.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
_SIZE = 256 * MIB
_TAIL = 32


@dataclass(frozen=True)
class Layer:
    """`size` bytes: the pool, as often as it takes, and then `tail`."""

    size: int
    tail: bytes
    digest: str


class Pool:
    """The random bytes, in a file that can be sent without copying it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "pool"
        with path.open("wb") as file:
            for _ in range(_SIZE // MIB):
                file.write(os.urandom(MIB))
        self.file = path.open("rb")
        self.view = memoryview(mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ))
        self._hashes: dict[int, hashlib._Hash] = {}

    def new(self, size: int) -> Layer:
        """Give a layer that no server has seen."""
        if size not in self._hashes:
            self._hashes[size] = hashlib.sha256()
            for length in self.spans(size):
                self._hashes[size].update(self.view[:length])
        tail = os.urandom(_TAIL)
        hasher = self._hashes[size].copy()
        hasher.update(tail)
        return Layer(size, tail, f"sha256:{hasher.hexdigest()}")

    def spans(self, size: int) -> Iterator[int]:
        """Give how much of the pool to send, from its start, until only the tail is left."""
        left = size - _TAIL
        while left:
            length = min(left, _SIZE)
            yield length
            left -= length
