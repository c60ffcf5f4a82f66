"""A request body read from its socket by a worker thread.

asyncio and the HTTP parser copy each received piece three times and wake the loop for it. Where
the connection is plain TCP, and the body long or chunked, the thread that hashes and writes may
as well receive: this saves about a third of the CPU of a push (2.1 to 1.3 CPU seconds per GB).

The parser never sees those bytes, so it is replaced by a fresh one afterwards, and the
connection goes on serving requests. After a failure the connection is closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from asyncio import Transport
from collections.abc import Callable
from typing import Final

from aiohttp.http_parser import HttpRequestParser
from aiohttp.web import BaseRequest, RequestPayloadError
from aiohttp.web_protocol import RequestHandler

from ecrate.domain.errors import BodyTooLarge, BodyTruncated
from ecrate.web.chunks import Chunks, MalformedChunksError
from ecrate.web.connection import Connection
from ecrate.web.threads import Threads

MIN_LENGTH: Final = 1024 * 1024
_PIECE: Final = 1024 * 1024
_CHUNKS_ROOM: Final = 256 * 1024  # most chunked bodies are small, and none tells
_ENOUGH: Final = 256 * 1024  # what is worth a call of the sink while more is on its way
_TICK: Final = 1.0
STALL_LIMIT: Final = 60

Sink = Callable[[memoryview], None]


class Turn:
    """A hand-off's time in a thread; `is_over` ends it once nobody waits for it any more."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self.is_over = False

    @property
    def is_stopping(self) -> bool:
        return self._threads.is_stopping


def can_hand_off(request: BaseRequest, length: int | None, threads: Threads) -> bool:
    """Tell whether the rest of the body can be read by a thread."""
    transport, protocol = request.transport, request.protocol
    if length is None:
        is_worth_it = isinstance(protocol, Connection) and protocol.holds_body
    else:
        is_worth_it = length >= MIN_LENGTH
    return (
        is_worth_it
        and threads.handoff_slots > 0
        and isinstance(transport, Transport)
        and not transport.is_closing()
        and transport.get_extra_info("sslcontext") is None
        and request.content.exception() is None
    )


async def hand_off(request: BaseRequest, length: int, sink: Sink, threads: Threads) -> None:
    """Give all `length` bytes of the body to `sink`, in a thread, in pieces up to 1 MiB.

    Raises `BodyTruncated` when the client ends early or sends nothing for a minute, and whatever
    `sink` raises. The rest of the body is still to come then, so the connection has to end after
    the answer.
    """
    transport = request.transport
    assert isinstance(transport, Transport)  # noqa: S101 - can_hand_off has seen it
    # Each read may make the parser give out more of what it kept back, and resumes reading.
    head = b"".join(iter(request.content.read_nowait, b""))
    if request.content.is_eof():
        # All of it was here, and the parser may hold the beginning of the next request.
        await threads.run(sink, memoryview(head))
        return
    transport.pause_reading()

    def receive(connection: socket.socket, turn: Turn) -> bytes:
        if head:
            sink(memoryview(head))
        pump(connection, length - len(head), length, sink, turn)
        return b""

    await _in_a_thread(request, receive, threads)


async def hand_off_chunks(
    request: BaseRequest, sink: Sink, threads: Threads, *, limit: int
) -> None:
    """As `hand_off`, for a chunked body held by its `Connection`.

    Raises `BodyTooLarge` as well, before the first byte of a chunk that goes beyond `limit`.
    """
    protocol = request.protocol
    assert isinstance(protocol, Connection)  # noqa: S101 - can_hand_off has seen it
    held = protocol.take()

    def receive(connection: socket.socket, turn: Turn) -> bytes:
        return pump_chunks(connection, held, limit, sink, turn)

    await _in_a_thread(request, receive, threads)


async def _in_a_thread(
    request: BaseRequest, receive: Callable[[socket.socket, Turn], bytes], threads: Threads
) -> None:
    """Run `receive` on the socket, whose reading is paused; the next request begins with the
    bytes it gives and goes on in the socket.
    """
    transport, protocol = request.transport, request.protocol
    assert isinstance(transport, Transport)  # noqa: S101 - can_hand_off has seen it
    descriptor = os.dup(transport.get_extra_info("socket").fileno())
    turn = Turn(threads)

    def work() -> bytes:
        with socket.socket(fileno=descriptor) as connection:
            connection.settimeout(_TICK)
            return receive(connection, turn)

    try:
        rest = await threads.run_handoff(work)
    except BaseException:
        turn.is_over = True
        # Where the next request begins is known to nobody: what comes is read, and dropped, since
        # a reset would take the answer along.
        protocol.close()
        transport.resume_reading()
        raise
    _expect_next_request(protocol)
    request.content.feed_eof()
    if rest:
        protocol.data_received(rest)
    transport.resume_reading()


def pump(connection: socket.socket, remaining: int, length: int, sink: Sink, turn: Turn) -> None:
    """Give the `remaining` of `length` bytes to `sink`; the socket's timeout is one tick.

    Raises `BodyTruncated` after all that came was given away.
    """
    buffer = memoryview(bytearray(min(_PIECE, max(remaining, 1))))
    filled = 0
    while remaining:
        received = _receive(connection, buffer[filled:], remaining, turn)
        if not received:
            if filled:
                sink(buffer[:filled])
            raise BodyTruncated(length - remaining, length)
        filled += received
        remaining -= received
        if filled >= _ENOUGH or filled == len(buffer) or not remaining:
            sink(buffer[:filled])
            filled = 0


def pump_chunks(
    connection: socket.socket, held: bytes, limit: int, sink: Sink, turn: Turn
) -> bytes:
    """Give the content of a chunked body, which begins with `held`, to `sink`; give what came
    behind it. Raises `BodyTruncated` after all that came was given away, `BodyTooLarge`.
    """
    chunks, given = Chunks(_CHUNKS_ROOM), 0
    waiting = memoryview(held)
    while True:
        space = chunks.space()
        if waiting:
            received = min(len(space), len(waiting))
            space[:received], waiting = waiting[:received], waiting[received:]
        else:
            received = _receive(connection, space, len(space), turn)
        is_malformed = False
        try:
            chunks.fill(received)
        except MalformedChunksError:
            is_malformed = True
        if chunks.size > limit:
            raise BodyTooLarge(limit)
        is_over = chunks.is_complete or is_malformed or not received
        if is_over or chunks.ready >= _CHUNKS_ROOM // 2 or not chunks.space():
            if chunks.ready:
                sink(chunks.content())
            given += chunks.ready
            if is_over:
                break
            chunks.clear()
    if not chunks.is_complete:
        raise BodyTruncated(given)
    return chunks.rest() + bytes(waiting)


def _receive(connection: socket.socket, space: memoryview, most: int, turn: Turn) -> int:
    """Receive up to `most` bytes; 0 when the client is gone or silent for a minute."""
    for _ in range(STALL_LIMIT):
        if turn.is_over:
            break
        try:
            return connection.recv_into(space, min(len(space), most))
        except TimeoutError:
            if turn.is_stopping:
                break
        except ConnectionError:
            break
    return 0


def _expect_next_request(protocol: RequestHandler) -> None:
    protocol._parser = HttpRequestParser(  # noqa: SLF001 - the parser cannot be told to skip
        protocol,
        asyncio.get_running_loop(),
        protocol._read_bufsize,  # noqa: SLF001
        max_line_size=protocol.max_line_size,
        max_headers=protocol.max_headers,
        max_field_size=protocol.max_field_size,
        payload_exception=RequestPayloadError,
        auto_decompress=False,
        max_msg_queue_size=protocol._max_msg_queue_size,  # noqa: SLF001
    )
