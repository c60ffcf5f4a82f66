"""The bytes of all backups in a folder: a file a digest.

DIR/blobs/<algorithm>/<2 hex>/<hex>
"""

from __future__ import annotations

import heapq
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from ecrate.blobs.sharing import share
from ecrate.blobs.verified import VerifiedReader
from ecrate.domain.layers import MIB
from ecrate.domain.names import Digest
from ecrate.operations.intake import open_file, read_through

_NEW: Final = "new-"


class Pool:
    """Files are written elsewhere in it first, and get their name when they are whole."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._touched: set[Path] = set()

    def prepare(self) -> None:
        """Drop what a process that was killed left behind."""
        self._root.mkdir(exist_ok=True, mode=0o700)
        for file in self._root.glob(f"{_NEW}*"):
            file.unlink()

    def path(self, digest: Digest) -> Path:
        algorithm, _, name = digest.text.partition(":")
        return self._root / algorithm / name[:2] / name

    def has(self, digest: Digest, size: int) -> bool:
        """Tell whether there is a file of this size."""
        try:
            return self.path(digest).stat().st_size == size
        except FileNotFoundError:
            return False

    def add(self, digest: Digest, source: VerifiedReader) -> None:
        """Copy bytes in; raises what reading them does."""
        new = self._new()
        try:
            with new.open("xb", buffering=0) as file:
                new.chmod(0o600)
                while piece := source.read(MIB):
                    file.write(piece)
                os.fdatasync(file.fileno())
            self._name(new, digest)
        finally:
            new.unlink(missing_ok=True)

    def share(self, digest: Digest, size: int, source: Path, spend: Callable[[int], None]) -> bool:
        """Let a file that nobody changes be the digest's, without a copy; False where that cannot
        be. Raises `FileNotFoundError`, `DamagedError`.
        """
        new = self._new()
        try:
            if not share(source, new):
                return False
            read_through(VerifiedReader(open_file(new), digest, size, spend))
            self._name(new, digest)
        finally:
            new.unlink(missing_ok=True)
        return True

    def _name(self, new: Path, digest: Digest) -> None:
        path = self.path(digest)
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(exist_ok=True, mode=0o700)
        new.rename(path)
        self._touched |= {path.parent, path.parent.parent, self._root}

    def sync(self) -> None:
        """Return when the files' names would survive a power cut."""
        for folder in self._touched:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def prune(self, needed: Iterable[Iterator[str]]) -> int:
        """Delete the files of digests that none of the ordered lists has; give how many."""
        count = 0
        wanted = heapq.merge(*needed)
        digest = next(wanted, None)
        for name in self._names():
            while digest is not None and digest < name:
                digest = next(wanted, None)
            if digest != name:
                self.path(Digest(name)).unlink()
                count += 1
        return count

    def _names(self) -> Iterator[str]:
        for folder in sorted(self._root.glob("*/*/")):
            for name in sorted(file.name for file in folder.iterdir()):
                yield f"{folder.parent.name}:{name}"

    def _new(self) -> Path:
        return self._root / f"{_NEW}{secrets.token_hex(8)}"
