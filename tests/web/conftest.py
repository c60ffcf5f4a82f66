"""Fixtures for tests of what lies under all doors."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import web
from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import BodyTooLarge, BodyTruncated
from ecrate.web.body import stream_body
from ecrate.web.threads import Threads

MIB = 1024 * 1024


@contextlib.contextmanager
def serving(handler: Callable[[BaseRequest], Awaitable[StreamResponse]]) -> Iterator[int]:
    """Serve in this process, as `ecrate.web.server` does; give the port."""
    ports: list[int] = []
    started = threading.Event()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loops.append(loop)
        server = web.Server(
            handler, access_log=None, read_bufsize=MIB, auto_decompress=False, lingering_time=1.0
        )
        listening = await loop.create_server(server, "127.0.0.1", 0)
        ports.append(listening.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        listening.close()
        await server.shutdown(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait(10)
    try:
        yield ports[0]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


class Receiver:
    """Takes bodies in with `stream_body` and answers their size and SHA-256.

    `pieces` are all that the sink was given, whatever became of the body.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.threads = Threads()
        self.pieces: list[bytes] = []
        self.port = 0

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        digest = hashlib.sha256()

        def sink(piece: bytes | memoryview) -> None:
            digest.update(piece)
            self.pieces.append(bytes(piece))

        try:
            await stream_body(request, sink, self.threads, limit=self.limit)
        except (BodyTruncated, BodyTooLarge) as error:
            return Response(status=400, text=str(error))
        return Response(text=digest.hexdigest())

    @property
    def received(self) -> bytes:
        return b"".join(self.pieces)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server of bodies up to 20 MiB."""
    made = Receiver(20 * MIB)
    with serving(made) as port:
        made.port = port
        yield made
        made.threads.stop()
