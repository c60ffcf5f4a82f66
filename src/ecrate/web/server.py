"""One aiohttp server in one worker process, and which door a path belongs to."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import BaseRequest, Response, StreamResponse
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from ecrate.web.body import release_body
from ecrate.web.connection import Connection
from ecrate.web.proxies import Proxies

# Host names, addresses and ports; it is quoted in challenges and URLs.
_HOST: Final = re.compile(r"[a-zA-Z0-9_.:%\[\]-]*")
_READ_BUFFER: Final = 1024 * 1024
_KEEPALIVE: Final = 75.0
_TICK: Final = 0.05
_NEWCOMERS: Final = 1.0

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]
# Told of each request once it has its answer: the door's prefix, and when it began
# (`time.perf_counter()`).
Observer = Callable[[str, BaseRequest, StreamResponse, float], None]


class Doors:
    """Gives each request to the first door whose prefix its path has; observers hear of it."""

    def __init__(
        self,
        doors: Sequence[tuple[str, Handler]],
        observers: Sequence[Observer] = (),
        *,
        on_stop: Sequence[Callable[[], None]] = (),
        proxies: Proxies | None = None,
    ) -> None:
        """What `on_stop` has ends those answers that would not end by themselves; `proxies` are
        believed.
        """
        self._proxies = proxies
        self._doors = doors
        self._observers = observers
        self._on_stop = on_stop
        self._is_stopping = False
        self.busy: set[RequestHandler] = set()

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        connection = request.protocol
        self.busy.add(connection)
        try:
            response = await self._answer(request)
        except ConnectionError:
            # The client is gone: there is nobody to answer and nothing to look into.
            connection.force_close()
            response = Response()
        finally:
            self.busy.discard(connection)
            release_body(request)
        if self._is_stopping:
            response.force_close()
        return response

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        if self._proxies is not None:
            request = self._proxies.seen_through(request)
        # RFC 9112 section 3.2: 400 is due for what is no host.
        if _HOST.fullmatch(request.headers.get("Host", "")) is None:
            return Response(status=400, text="The Host header is no host name or address.\n")
        path = request.raw_path
        for prefix, handler in self._doors:
            if path.startswith(prefix):
                begun = time.perf_counter()
                response = await handler(request)
                for observe in self._observers:
                    observe(prefix, request, response, begun)
                return response
        return Response(status=404, text="404 page not found\n")

    def stop(self) -> None:
        """End each connection with the answer it is waiting for."""
        self._is_stopping = True
        for stop in self._on_stop:
            stop()


class _Terse(logging.Filter):
    """Makes a line of what aiohttp tells, at length, of a request that it could not read.

    That would be a stack trace for whoever scans ports, and the bytes it quotes may be a password.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg = f"refused a malformed request from %s: {type(error).__name__}"
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True


def http_log() -> logging.Logger:
    """Give the log of the HTTP server."""
    log = logging.getLogger("ecrate.http")
    if not log.filters:
        log.addFilter(_Terse())
    return log


async def serve(
    doors: Doors, listener: socket.socket, grace: float, tls: ssl.SSLContext | None
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way, for `grace` seconds."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = web.Server(doors)
    make_connection = functools.partial(
        Connection,
        server,
        loop=loop,
        access_log=None,
        logger=http_log(),
        read_bufsize=_READ_BUFFER,
        keepalive_timeout=_KEEPALIVE,
        # A layer arrives as it is stored, whatever its client calls its encoding.
        auto_decompress=False,
        max_line_size=16 * 1024,
        max_field_size=16 * 1024,
    )
    listening = await loop.create_server(make_connection, sock=listener, backlog=1024, ssl=tls)
    await stop.wait()
    loop.remove_reader(listener)
    # asyncio drops whoever was accepted in the round of `close`: one round later nobody is.
    await asyncio.sleep(0)
    listening.close()
    doors.stop()
    await _finish(server, doors, loop.time() + grace)


async def _finish(server: web.Server, doors: Doors, deadline: float) -> None:
    # aiohttp's own shutdown drops what a request's body still has to bring.
    loop = asyncio.get_running_loop()
    # Whoever was accepted a moment ago is about to ask, and nobody else could answer.
    newcomers_until = loop.time() + _NEWCOMERS
    while loop.time() < deadline:
        await asyncio.sleep(_TICK)
        # A connection whose client is gone may be listed for a while; it has nothing to finish.
        open_ones = [one for one in server.connections if one.connected or one in doors.busy]
        if not open_ones:
            break
        quiet = [one for one in open_ones if one not in doors.busy]
        idle = [one for one in quiet if _has_asked(one) or loop.time() > newcomers_until]
        for connection in idle:
            connection.close()
        # `close` wakes a connection that waits for a request, but leaves its socket open.
        await asyncio.gather(*(one.shutdown(deadline - loop.time()) for one in idle))
    await server.shutdown(_TICK)


def _has_asked(connection: RequestHandler) -> bool:
    return connection._request_count > 0  # noqa: SLF001 - it tells nobody else
