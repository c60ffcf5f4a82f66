"""A socket that is read within a time: no server keeps a thread for longer than that.

`http.client` reads a head byte by byte if that is how it comes, and each byte would begin a
socket's timeout anew.
"""

from __future__ import annotations

import contextlib
import io
import socket
import time
from typing import TYPE_CHECKING, BinaryIO, Final

from typing_extensions import override

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

# Bytes that have to come within each period; less is as good as nothing.
LEAST: Final = 256 * 1024


class PacedSocket:
    """What `http.client` needs of a socket. Its owner closes the socket itself.

    Until `relax`, everything that is read has to come within `seconds` from the start; from then
    on, `LEAST` bytes within each period of `seconds`, and something all the time.
    """

    def __init__(self, opened: socket.socket, seconds: float) -> None:
        self._socket = opened
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._is_relaxed = False
        self._count = 0

    def relax(self) -> None:
        """Let a long body come."""
        self._is_relaxed = True
        self._begin()

    def sendall(self, data: ReadableBuffer) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def makefile(self, mode: str, *_: object) -> BinaryIO:  # noqa: ARG002 - http.client's call
        return io.BufferedReader(_Reader(self), 64 * 1024)

    def close(self) -> None:
        """Do nothing: an answer is read to its end after its connection was closed."""

    def receive(self, buffer: WriteableBuffer) -> int:
        """Raise `TimeoutError` when the time is over."""
        while True:
            self._socket.settimeout(self._left())
            # Where a period ends in which enough has come, another one begins.
            with contextlib.suppress(TimeoutError):
                count = self._socket.recv_into(buffer)
                self._count += count
                return count

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0 and self._is_relaxed and self._count >= LEAST:
            self._begin()
            left = self._seconds
        if left <= 0:
            raise TimeoutError(f"it takes longer than {self._seconds:g} seconds")
        return left

    def _begin(self) -> None:
        self._until = time.monotonic() + self._seconds
        self._count = 0


class _Reader(io.RawIOBase):
    def __init__(self, paced: PacedSocket) -> None:
        self._paced = paced

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._paced.receive(buffer)
