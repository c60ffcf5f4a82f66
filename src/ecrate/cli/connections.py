"""Connections to servers over the standard library's HTTP, shared by all threads of a command.

Each thread keeps one connection open to each server. Whoever closes the whole breaks off what
all threads are doing, which is how an interrupted command ends at once.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import math
import os
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Final, Self
from urllib.parse import urlsplit

from ecrate import __version__
from ecrate.cli.failures import CommandError
from ecrate.cli.options import CommonValues
from ecrate.upstream.endpoints import BROKEN, DEFAULT_PORTS, Endpoint
from ecrate.web.purpose import HEADER

ATTEMPTS: Final = 3
_LONGEST_PAUSE: Final = 20.0


def make_endpoint(url: str, options: CommonValues) -> Endpoint:
    """Read a server's address; raises `CommandError` where it is none."""
    endpoint, target = split_url(url, options)
    if target != "/":
        raise CommandError(f'"{url}" has a path; the API of ECR is at the root of a server')
    return endpoint


def split_url(url: str, options: CommonValues) -> tuple[Endpoint, str]:
    """Give the server of a URL, and what to ask it for; raises `CommandError`."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == -1:
        raise CommandError(f'"{url}" is no address of a server, such as http://127.0.0.1:5100')
    is_encrypted = parts.scheme == "https"
    endpoint = Endpoint(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or DEFAULT_PORTS[parts.scheme],
        connect_timeout=options.connect_timeout or None,
        read_timeout=options.read_timeout or None,
        tls=_tls(_bundle(options), is_verified=options.verify_ssl) if is_encrypted else None,
    )
    query = f"?{parts.query}" if parts.query else ""
    return endpoint, f"{parts.path or '/'}{query}"


def _bundle(options: CommonValues) -> str | None:
    return options.ca_bundle or os.environ.get("AWS_CA_BUNDLE") or None


@functools.cache  # reading the system's certificates takes longer than most requests
def _tls(bundle: str | None, *, is_verified: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise CommandError(f"Cannot read the certificates in {bundle}: {error}") from None
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, read to its end."""

    status: int
    reason: str
    headers: Message
    content: bytes


class Connections:
    """All connections of a command. Safe to use from several threads; closed by `with`.

    `purpose` is told to each server, see `ecrate.web.purpose`.
    """

    def __init__(self, *, debug: bool = False, purpose: str = "") -> None:
        self.headers = {"User-Agent": f"ecrate/{__version__}", "Accept-Encoding": "identity"}
        if purpose:
            self.headers[HEADER] = purpose
        self._debug = debug
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def exchange(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        limit: int | None = None,
    ) -> Answer:
        """Send a request on the connection kept to the server, and give the answer.

        Raises one of `BROKEN`; so does an answer with more than `limit` bytes.
        """

        def send(connection: http.client.HTTPConnection) -> Answer:
            start(connection, method, target, headers)
            connection.endheaders(body or None)
            response = connection.getresponse()
            content = _read(response, limit)
            if response.will_close:
                self._drop(endpoint)
            return Answer(response.status, response.reason, response.headers, content)

        return self._on_kept(endpoint, send)

    def _on_kept(
        self, endpoint: Endpoint, send: Callable[[http.client.HTTPConnection], Answer]
    ) -> Answer:
        for is_last in (False, True):
            kept = self._kept.get(endpoint.url)
            try:
                connection = kept or self._connect(endpoint)
                self._kept[endpoint.url] = connection
                return send(connection)
            except BROKEN:
                self._drop(endpoint)
                # A server may close a kept connection at any time: that is no failure yet.
                if is_last or kept is None or self.is_closed:
                    raise
            except BaseException:
                self._drop(endpoint)
                raise
        raise AssertionError  # the second round returned or raised

    @contextlib.contextmanager
    def connection_to(self, endpoint: Endpoint) -> Iterator[http.client.HTTPConnection]:
        """Connect for this block only; raises `OSError`."""
        connection = self._connect(endpoint)
        try:
            yield connection
        finally:
            self._forget(connection)

    def sleep(self, seconds: float) -> None:
        """Wait before trying again; raises `CommandError` at once when all is closed."""
        if self._closed.wait(seconds):
            raise CommandError("broken off")

    def close(self) -> None:
        """Break off what is under way, in all threads."""
        self._closed.set()
        with self._lock:
            opened, self._open = self._open, set()
        for connection in opened:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
                connection.close()

    def log(self, text: str) -> None:
        """Tell of the traffic, with `--debug`."""
        if self._debug:
            print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr)

    @property
    def _kept(self) -> dict[str, http.client.HTTPConnection]:
        kept: dict[str, http.client.HTTPConnection] = self._local.__dict__.setdefault("kept", {})
        return kept

    def _connect(self, endpoint: Endpoint) -> http.client.HTTPConnection:
        connection = endpoint.connect()
        with self._lock:
            if self._closed.is_set():
                connection.close()
                raise ConnectionAbortedError("the connections were closed")
            self._open.add(connection)
        return connection

    def _drop(self, endpoint: Endpoint) -> None:
        connection = self._kept.pop(endpoint.url, None)
        if connection is not None:
            self._forget(connection)

    def _forget(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._open.discard(connection)
        connection.close()


def start(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]
) -> None:
    """Begin a request with these headers and no others."""
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)


def pause(attempt: int) -> float:
    """Give the seconds to wait after the given attempt failed: doubling, and never the same."""
    return min(_LONGEST_PAUSE, math.ldexp(0.125, attempt)) * random.uniform(0.5, 1)  # noqa: S311


def _read(response: http.client.HTTPResponse, limit: int | None) -> bytes:
    if limit is None:
        return response.read()
    content = response.read(limit + 1)
    if len(content) > limit:
        raise http.client.HTTPException(f"the answer is longer than {limit} bytes")
    return content
