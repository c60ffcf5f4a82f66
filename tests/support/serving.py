"""A handler served over a socket in this process, for what no real server can be brought to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from aiohttp.web import BaseRequest, StreamResponse

from ecrate.web.connection import Connection

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
        server = web.Server(handler)
        make_connection = functools.partial(
            Connection,
            server,
            loop=loop,
            access_log=None,
            read_bufsize=MIB,
            auto_decompress=False,
            lingering_time=1.0,
        )
        listening = await loop.create_server(make_connection, "127.0.0.1", 0)
        ports.append(listening.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        await asyncio.sleep(0.01)  # a client accepted in the round of `close` is lost, socket open
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
