"""One aiohttp server in one worker process, and which door a path belongs to."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from aiohttp.web import BaseRequest, Response, StreamResponse

_LOG: Final = logging.getLogger("ecrate")
_READ_BUFFER: Final = 1024 * 1024
_KEEPALIVE: Final = 75.0

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]


class Doors:
    """Gives each request to the first door whose prefix its path has."""

    def __init__(self, doors: Sequence[tuple[str, Handler]]) -> None:
        self._doors = doors

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        path = request.raw_path
        for prefix, handler in self._doors:
            if path.startswith(prefix):
                return await handler(request)
        return Response(status=404, text="404 page not found\n")


async def serve(handler: Handler, listener: socket.socket, grace: float) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way, for `grace` seconds."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = web.Server(
        handler,
        access_log=None,
        logger=_LOG,
        read_bufsize=_READ_BUFFER,
        keepalive_timeout=_KEEPALIVE,
        # A layer arrives as it is stored, whatever its client calls its encoding.
        auto_decompress=False,
        max_line_size=16 * 1024,
        max_field_size=16 * 1024,
    )
    listening = await loop.create_server(server, sock=listener, backlog=1024)
    await stop.wait()
    listening.close()
    server.pre_shutdown()
    await server.shutdown(grace)
