"""Request bodies: refused early, bounded together, never whole in memory unless small."""

from __future__ import annotations

import asyncio
import hashlib
import mmap
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from aiohttp.web import BaseRequest

from ecrate.domain.errors import BodyTooLarge, BodyTruncated
from ecrate.web.connection import Connection
from ecrate.web.handoff import can_hand_off, hand_off, hand_off_chunks
from ecrate.web.metrics import RECEIVED
from ecrate.web.threads import Threads

SMALL_BODY: Final = 64 * 1024
_PIECE: Final = 1024 * 1024
_PATIENCE: Final = 60.0
_TICK: Final = 1.0
_SLOWEST: Final = 64 * 1024  # bytes a second that a body held in memory has to arrive with

_CUT_OFF: Final = (web.RequestPayloadError, ConnectionError, TimeoutError)


def check_length(request: BaseRequest, limit: int) -> int | None:
    """Give the body's declared length, None for a chunked one; raises `BodyTooLarge`."""
    length = request.content_length if request.body_exists else 0
    if length is not None and length > limit:
        raise BodyTooLarge(limit)
    return length


def welcome_body(request: BaseRequest) -> None:
    """Tell a client that waits for it to go on: nothing speaks against its request so far."""
    transport = request.transport
    if request.headers.get("Expect", "").lower() == "100-continue" and transport is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def release_body(request: BaseRequest) -> None:
    """Let aiohttp read a body that its connection may hold (`web.connection`)."""
    if isinstance(request.protocol, Connection):
        request.protocol.release()


async def stream_body(
    request: BaseRequest,
    sink: Callable[[bytes | memoryview], None],
    threads: Threads,
    *,
    limit: int,
) -> None:
    """Give the body to `sink`, called in a thread with pieces of about 1 MiB.

    Raises `BodyTooLarge` before the first byte beyond `limit` is given away, and
    `BodyTruncated` after all that came was given away.
    """
    length = check_length(request, limit)
    welcome_body(request)
    if length is None:
        sink = _counting(request, sink)
    if can_hand_off(request, length, threads):
        if length is None:
            await hand_off_chunks(request, sink, threads, limit=limit)
        else:
            await hand_off(request, length, sink, threads)
        return
    release_body(request)
    received = 0
    while True:
        pieces, ended, cut = await _next_pieces(request)
        received += sum(map(len, pieces))
        if received > limit:
            raise BodyTooLarge(limit)
        if pieces:
            await threads.run(_drain, pieces, sink)
        if cut:
            raise BodyTruncated(received) if length is None else BodyTruncated(received, length)
        if ended:
            return


def _counting(
    request: BaseRequest, sink: Callable[[bytes | memoryview], None]
) -> Callable[[bytes | memoryview], None]:
    """Let the request know how much came, which its head did not tell."""

    def count(piece: bytes | memoryview) -> None:
        request[RECEIVED] = request.get(RECEIVED, 0) + len(piece)
        sink(piece)

    return count


def _drain(pieces: list[bytes], sink: Callable[[bytes | memoryview], None]) -> None:
    for piece in pieces:
        sink(piece)


async def _next_pieces(request: BaseRequest) -> tuple[list[bytes], bool, bool]:
    """Collect about 1 MiB; tell whether the body ended, and whether it was cut off."""
    pieces: list[bytes] = []
    size = 0
    try:
        while size < _PIECE:
            piece = await _next_piece(request)
            if not piece:
                return pieces, True, False
            pieces.append(piece)
            size += len(piece)
    except _CUT_OFF:
        pieces.append(_left_behind(request))
        return pieces, False, True
    return pieces, False, False


async def _next_piece(request: BaseRequest) -> bytes:
    """Wait for what comes next; raises one of `_CUT_OFF`."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while True:
        try:
            async with asyncio.timeout(min(_TICK, _PATIENCE)):
                return await request.content.readany()
        except TimeoutError:
            # Only a body that has ended can have something behind it: what the parser queued
            # there is its complaint about a malformed chunk, of which the body hears nothing.
            is_malformed = bool(request.protocol._messages)  # noqa: SLF001
            if is_malformed or asyncio.get_running_loop().time() > deadline:
                raise


def _left_behind(request: BaseRequest) -> bytes:
    """Give what came before the cut: the reader itself only tells of the cut from then on."""
    content, cut = request.content, request.content.exception()
    content._exception = None  # noqa: SLF001
    try:
        return content.read_nowait()
    finally:
        content._exception = cut  # noqa: SLF001


class Bodies:
    """Bodies read whole: small ones as they come, larger ones in a few shared buffers.

    `buffers` requests at a time may hold a large body; the others wait, unread, in their
    sockets. A buffer is an anonymous map that keeps its pages for the next request.
    """

    def __init__(self, threads: Threads, *, buffers: int, size: int) -> None:
        self._threads = threads
        self._size = size
        self._free: deque[mmap.mmap] = deque()
        self._turns = asyncio.Semaphore(buffers)

    @asynccontextmanager
    async def read(
        self, request: BaseRequest, limit: int
    ) -> AsyncIterator[tuple[bytes | memoryview, str]]:
        """Give the body and its SHA-256 in hex; both are good inside the block only.

        Raises `BodyTooLarge` before reading beyond `limit`, and `BodyTruncated`.
        """
        length = check_length(request, limit)
        if length is not None and length <= SMALL_BODY:
            welcome_body(request)
            data = await self._read_small(request, length)
            yield data, hashlib.sha256(data).hexdigest()
            return
        async with self._turns:
            # A buffer whose filling failed is not used again: a thread may still write to it.
            buffer = self._free.pop() if self._free else mmap.mmap(-1, self._size)
            try:
                async with asyncio.timeout(_PATIENCE + (length or limit) / _SLOWEST):
                    size, digest = await self._fill(request, buffer, limit)
            except TimeoutError:
                raise BodyTruncated(0, length or limit) from None
            try:
                yield memoryview(buffer)[:size], digest
            finally:
                self._free.append(buffer)

    async def _read_small(self, request: BaseRequest, length: int) -> bytes:
        if request.content.is_eof():
            return b"".join(iter(request.content.read_nowait, b""))  # it came with its head
        try:
            async with asyncio.timeout(_PATIENCE):
                data = await request.content.read()
        except _CUT_OFF:
            raise BodyTruncated(0, length) from None
        return data

    async def _fill(self, request: BaseRequest, buffer: mmap.mmap, limit: int) -> tuple[int, str]:
        digest = hashlib.sha256()
        buffer.seek(0)

        def sink(piece: bytes | memoryview) -> None:
            digest.update(piece)
            buffer.write(piece)

        await stream_body(request, sink, self._threads, limit=min(limit, self._size))
        return buffer.tell(), digest.hexdigest()
