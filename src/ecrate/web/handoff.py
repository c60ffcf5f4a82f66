"""A large request body read from its socket by a worker thread.

asyncio and the HTTP parser copy each received piece three times and wake the loop for it. Where
the length is known and the connection is plain TCP, the thread that hashes and writes may as well
receive: this saves about a third of the CPU of a push (2.1 to 1.3 CPU seconds per GB).

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

from ecrate.domain.errors import BodyTruncated
from ecrate.web.threads import Threads

MIN_LENGTH: Final = 1024 * 1024
_PIECE: Final = 1024 * 1024
_ENOUGH: Final = 256 * 1024  # what is worth a call of the sink while more is on its way
_TICK: Final = 1.0
STALL_LIMIT: Final = 60

Sink = Callable[[memoryview], None]


def can_hand_off(request: BaseRequest, length: int | None, threads: Threads) -> bool:
    """Tell whether the rest of the body can be read by a thread."""
    transport = request.transport
    return (
        length is not None
        and length >= MIN_LENGTH
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
    transport, protocol = request.transport, request.protocol
    assert isinstance(transport, Transport)  # noqa: S101 - can_hand_off has seen it
    # Each read may make the parser give out more of what it kept back, and resumes reading.
    head = b"".join(iter(request.content.read_nowait, b""))
    if request.content.is_eof():
        # All of it was here, and the parser may hold the beginning of the next request.
        await threads.run(sink, memoryview(head))
        return
    transport.pause_reading()
    descriptor = os.dup(transport.get_extra_info("socket").fileno())

    def receive() -> None:
        with socket.socket(fileno=descriptor) as connection:
            connection.settimeout(_TICK)
            if head:
                sink(memoryview(head))
            pump(connection, length - len(head), length, sink, threads)

    try:
        await threads.run_handoff(receive)
    except BaseException:
        # The server reads on for a while after its answer, which a reset would take along.
        transport.resume_reading()
        raise
    _expect_next_request(protocol)
    request.content.feed_eof()
    transport.resume_reading()


def pump(
    connection: socket.socket, remaining: int, length: int, sink: Sink, threads: Threads
) -> None:
    """Give the `remaining` of `length` bytes to `sink`; the socket's timeout is one tick.

    Raises `BodyTruncated` after all that came was given away.
    """
    buffer = memoryview(bytearray(min(_PIECE, max(remaining, 1))))
    filled = stalled = 0
    while remaining:
        try:
            received = connection.recv_into(buffer[filled:], min(len(buffer) - filled, remaining))
        except TimeoutError:
            stalled += 1
            if stalled < STALL_LIMIT and not threads.is_stopping:
                continue
            received = 0
        except ConnectionError:
            received = 0
        if not received:
            if filled:
                sink(buffer[:filled])
            raise BodyTruncated(length - remaining, length)
        stalled = 0
        filled += received
        remaining -= received
        if filled >= _ENOUGH or filled == len(buffer) or not remaining:
            sink(buffer[:filled])
            filled = 0


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
