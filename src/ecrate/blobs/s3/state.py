"""What an upload's row keeps for the S3 driver: everything another node needs to go on."""

from __future__ import annotations

from typing import Self

import msgspec


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A part of S3's multipart upload; `etag` names its bytes when the upload is completed."""

    number: int
    size: int
    etag: str


class State(msgspec.Struct, frozen=True, array_like=True):
    """The counted bytes of an upload: its parts in order, and behind them the tail.

    `multipart` is S3's id of the multipart upload that makes the object `target`, both empty where
    there is none. Part numbers below
    `next_number` may have been used, by whomever. The tail is an object of its own under the key
    `tail`, of `tail_size` bytes that no part has; without parts it is the whole upload. Once
    `is_sealed`, the parts are all there is, and nothing is appended any more.
    """

    multipart: str = ""
    parts: tuple[Part, ...] = ()
    next_number: int = 1
    tail: str = ""
    tail_size: int = 0
    is_sealed: bool = False
    target: str = ""

    @property
    def size(self) -> int:
        """Bytes counted."""
        return sum(part.size for part in self.parts) + self.tail_size

    def packed(self) -> bytes:
        return b"" if self == type(self)() else msgspec.msgpack.encode(self)

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """Read what `packed` gave; raises `FileNotFoundError` for anything else, so that no bytes
        are taken for an upload's that are not.
        """
        try:
            return msgspec.msgpack.decode(data, type=cls) if data else cls()
        except msgspec.MsgspecError:
            raise FileNotFoundError("the upload's row has no state of an S3 store") from None
