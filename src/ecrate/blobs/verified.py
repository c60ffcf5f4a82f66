"""Bytes that are checked as they are read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from ecrate.domain.names import Digest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class DamagedError(Exception):
    """The bytes are not those of the digest; `str()` says how they differ."""


class UnreadableError(DamagedError):
    """The bytes, or the way to them, broke off."""


class VerifiedReader(io.RawIOBase):
    """Reads a blob, and raises `DamagedError` in place of its end when the bytes were not those of
    its digest and size: so whoever stores what it reads stores nothing else.

    `spend` is told of the bytes read. Closing it closes the source.
    """

    def __init__(
        self, source: BinaryIO, digest: Digest, size: int, spend: Callable[[int], None]
    ) -> None:
        self._source = source
        self._digest = digest
        self._missing = size
        self._hash = hashlib.new(digest.algorithm)
        self._spend = spend

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            piece = self._source.read(len(view))
        except OSError as error:
            raise UnreadableError(f"they cannot be read: {error}") from None
        if not piece:
            self._check()
            return 0
        view[: len(piece)] = piece
        self._hash.update(piece)
        self._missing -= len(piece)
        if self._missing < 0:
            raise DamagedError("there are more bytes than there should be")
        self._spend(len(piece))
        return len(piece)

    def _check(self) -> None:
        if self._missing:
            raise DamagedError(f"{self._missing} bytes are missing")
        actual = f"{self._digest.algorithm}:{self._hash.hexdigest()}"
        if actual != self._digest.text:
            raise DamagedError(f"the digest is {actual}")

    @override
    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()
