"""Bytes that come into a blob store from elsewhere, under keys they have already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from ecrate.blobs.port import BlobStore
from ecrate.blobs.verified import DamagedError, UnreadableError, VerifiedReader
from ecrate.domain.errors import StoreUnavailable
from ecrate.domain.layers import MIB
from ecrate.domain.names import Digest


class Named(NamedTuple):
    """A blob: its digest, the key it has in its store, and how many bytes it has."""

    digest: str
    key: str
    size: int


class Intake:
    """Brings blobs in, each checked as it passes; some threads may do so at once.

    `spend` is told of bytes that were read. Files are shared with where they come from as long as
    that is found to work, unless this `copies`. Where it `trusts`, a file that is shared is not
    read. Without `is_near`, the bytes come from a store that may break off.
    """

    def __init__(
        self,
        blobs: BlobStore,
        spend: Callable[[int], None],
        *,
        copies: bool = False,
        trusts: bool = False,
        is_near: bool = True,
    ) -> None:
        self._blobs = blobs
        self._spend = spend
        self._shares = blobs.is_local and not copies
        self._trusts = trusts
        self._is_near = is_near

    def bring(
        self, blob: Named, open_source: Callable[[], BinaryIO], file: Path | None = None
    ) -> bool:
        """Tell whether the source had the bytes, which are in the store now. `file` is one of
        them.
        """
        digest = Digest(blob.digest)
        try:
            if file is not None and self._shares:
                if not self._trusts:
                    # Before it gets its key, so that what has a key is known to be well.
                    read_through(VerifiedReader(open_source(), digest, blob.size, self._spend))
                self._shares = self._blobs.adopt(blob.key, file)
                if self._shares:
                    return True
            with VerifiedReader(open_source(), digest, blob.size, self._spend) as source:
                self._blobs.put(blob.key, cast("BinaryIO", source), blob.size)
        except (FileNotFoundError, DamagedError) as error:
            if isinstance(error, UnreadableError) and not self._is_near:
                raise StoreUnavailable from error
            return False
        return True


def read_through(source: VerifiedReader) -> None:
    """Read to the end, for what is raised there."""
    with source:
        while source.read(MIB):
            pass


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading, its bytes as they are on disk."""
    return cast("BinaryIO", path.open("rb", buffering=0))
