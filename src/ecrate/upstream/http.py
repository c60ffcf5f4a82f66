"""Requests to servers that anybody may run: to permitted addresses only, each within a time.

Every request has a connection of its own, to the address that was checked; TLS is verified against
the host's name. Redirects are followed by the same rules, each target looked up and checked anew.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from typing import Final, cast
from urllib.parse import urljoin

from ecrate import __version__
from ecrate.upstream.addresses import look_up
from ecrate.upstream.endpoints import Endpoint, Url
from ecrate.upstream.pacing import PacedSocket

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LONGEST_CONNECT: Final = 10.0
_HEADERS: Final = {"User-Agent": f"ecrate/{__version__}", "Accept-Encoding": "identity"}


class BadAnswerError(http.client.HTTPException):
    """A server answered something that cannot be gone on with; `str()` says what."""


class Reply:
    """An answer whose body is still to be read. `endpoint` is the server that gave it, `is_first`
    tells whether that is the one which was asked.
    """

    def __init__(
        self, endpoint: Endpoint, response: http.client.HTTPResponse, paced: PacedSocket
    ) -> None:
        self.is_first = True
        self.endpoint = endpoint
        self.status = response.status
        self.headers: Message = response.headers
        self._response = response
        self._paced = paced
        self._left = response.length

    @property
    def size(self) -> int | None:
        """Bytes of the body that are still to be read, None where the server does not tell."""
        return self._left

    def relax(self) -> None:
        """Let a long body come, in its time."""
        self._paced.relax()

    def read(self, count: int) -> bytes:
        """Give up to `count` bytes, as soon as there are any, and none at the end; raises
        `BadAnswerError` where it broke off.
        """
        piece = self._response.read1(count if self._left is None else min(count, self._left))
        if self._left is not None:
            if not piece and self._left:
                raise BadAnswerError(f"the answer ends {self._left} bytes too early")
            self._left -= len(piece)
        return piece

    def read_all(self, limit: int) -> bytes:
        """Give the whole body; raises `BadAnswerError` before more than `limit` bytes are read."""
        if (self.size or 0) > limit:
            raise BadAnswerError(f"the answer is longer than {limit} bytes")
        pieces = []
        left = limit + 1
        while left and (piece := self.read(min(left, 64 * 1024))):
            pieces.append(piece)
            left -= len(piece)
        if not left:
            raise BadAnswerError(f"the answer is longer than {limit} bytes")
        return b"".join(pieces)


class Http:
    """Requests of any number of threads. `close` breaks off all that are under way."""

    def __init__(
        self,
        *,
        seconds: float,
        networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = (),
        bundle: str = "",
        setting: str = "upstream_networks",
    ) -> None:
        """`seconds`: what `PacedSocket` allows. `networks` are permitted though not public;
        `bundle` is a file with certificates to trust beside the system's.
        """
        self._seconds = seconds
        self._networks = networks
        self._bundle = bundle
        self._setting = setting
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_closed = False

    @contextlib.contextmanager
    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Sequence[bytes] = b"",
    ) -> Iterator[Reply]:
        """Send a request and give the answer, whatever its status; a body in pieces is not joined.

        Raises `OSError`, `http.client.HTTPException`, or `ValueError` for what is no URL.
        """
        parts = Url.parse(url)
        with self._connected(parts) as (endpoint, opened):
            paced = PacedSocket(opened, self._seconds)
            connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
            connection.sock = cast("socket.socket", paced)
            connection.auto_open = 0
            connection.putrequest(method, parts.target, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": endpoint.authority, **_HEADERS, **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            try:
                yield Reply(endpoint, response, paced)
            finally:
                response.close()

    @contextlib.contextmanager
    def follow(
        self, url: str, headers: Mapping[str, str], credentials: Mapping[str, str]
    ) -> Iterator[Reply]:
        """Give the answer to a GET, wherever it leads. The `credentials`, headers as well, go to
        the first server only. Raises as `ask` does.
        """
        first = Url.parse(url)
        for _ in range(_MOST_REDIRECTS + 1):
            parts = Url.parse(url)
            if first.scheme == "https" != parts.scheme:
                raise BadAnswerError(f"it leads to {parts.host}, which is not encrypted")
            is_first = (parts.scheme, parts.host, parts.port) == (
                first.scheme,
                first.host,
                first.port,
            )
            given = {**headers, **credentials} if is_first else headers
            with self.ask("GET", url, given) as reply:
                reply.is_first = is_first
                if reply.status not in _REDIRECTS:
                    yield reply
                    return
                url = urljoin(url, reply.headers.get("Location", ""))
        raise BadAnswerError(f"it redirects more than {_MOST_REDIRECTS} times")

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            opened, self._open = self._open, set()
        for one in opened:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _connected(self, url: Url) -> Iterator[tuple[Endpoint, socket.socket]]:
        endpoint = Endpoint(
            scheme=url.scheme,
            host=url.host,
            port=url.port,
            connect_timeout=min(_LONGEST_CONNECT, self._seconds),
            read_timeout=self._seconds,
            tls=self._tls if url.scheme == "https" else None,
        )
        opened = self._connect(endpoint)
        try:
            with self._lock:
                if self._is_closed:
                    raise ConnectionAbortedError("the server stops")
                self._open.add(opened)
            yield endpoint, opened
        finally:
            with self._lock:
                self._open.discard(opened)
            opened.close()

    def _connect(self, endpoint: Endpoint) -> socket.socket:
        failure: OSError = OSError(f"{endpoint.host} has no address")
        until = time.monotonic() + self._seconds
        for address in look_up(endpoint.host, endpoint.port, self._networks, self._setting):
            try:
                return endpoint.open_socket(address)
            except OSError as error:
                failure = error
            if time.monotonic() > until:
                break
        raise failure

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._bundle:
            context.load_verify_locations(cafile=self._bundle)
        return context
