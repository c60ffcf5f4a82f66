"""Request bodies in pieces, and the sums by which a store proves that it got them whole."""

from __future__ import annotations

import enum
import hashlib
import io
import zlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

Piece = bytes | memoryview


class Body:
    """What botocore takes for a file, without a copy: a read gives one piece, however long.

    (http.client, at the bottom of it, asks for 16 KiB at a time and sends what it is given.)
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._next = 0

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def read(self, _: int = -1) -> Piece:
        if self._next == len(self._pieces):
            return b""
        self._next += 1
        return self._pieces[self._next - 1]

    def joined(self) -> bytes:
        return b"".join(self._pieces)

    def tell(self) -> int:
        return sum(map(len, self._pieces[: self._next]))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the beginning, as botocore does to hash a body and to send it again."""
        if offset or whence:
            raise io.UnsupportedOperation("a body is read from its beginning only")
        self._next = 0
        return 0


class TwoFacedBody(Body):
    """Gives other bytes, as many, when it is read again: its sum is not that of what is sent."""

    def __init__(self, hashed: bytes, sent: bytes) -> None:
        super().__init__([hashed])
        self._sent = sent

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if self._next:
            self._pieces = [self._sent]
        return super().seek(offset, whence)


class Integrity(enum.Enum):
    """Sums that a store may check, the cheapest first (0.24, 0.56, 1.3 CPU seconds per GB).

    AWS refuses CRC-32 for parts unless the numbers of all of an upload's parts follow each other,
    and ours do not where a node died; it checks the SHA-256 that a signature has.
    """

    CRC32 = "CRC-32"
    SHA256 = "SHA-256"
    MD5 = "MD5"

    def sums(self, body: Body) -> dict[str, Any]:
        """Give the parameters of a request with this body; SHA-256 is in its signature anyway."""
        if self is Integrity.SHA256:
            return {}
        crc, md5 = 0, hashlib.md5(usedforsecurity=False)
        while piece := body.read():
            if self is Integrity.CRC32:
                crc = zlib.crc32(piece, crc)
            else:
                md5.update(piece)
        body.seek(0)
        if self is Integrity.CRC32:
            return {"ChecksumCRC32": b64encode(crc.to_bytes(4, "big")).decode()}
        return {"ContentMD5": b64encode(md5.digest()).decode()}
