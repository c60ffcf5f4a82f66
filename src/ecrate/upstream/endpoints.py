"""Addresses of servers, and connections to them over the standard library's HTTP."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# What failing to talk to a server raises.
BROKEN: Final = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a server, and how to connect to it. Timeouts are seconds, None for none."""

    scheme: str
    host: str
    port: int
    connect_timeout: float | None
    read_timeout: float | None
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}/"

    def is_same_server(self, other: Endpoint) -> bool:
        """Tell whether what may be said to one may be said to the other."""
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection; raises `OSError`."""
        # RFC 6761: names under "localhost" are this machine, which not every resolver knows.
        is_local = self.host == "localhost" or self.host.endswith(".localhost")
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = self.open_socket("localhost" if is_local else self.host)
        # A request on a connection that was closed must fail here, not go out on another socket.
        connection.auto_open = 0
        return connection

    def open_socket(self, address: str) -> socket.socket:
        """Open a socket to one of the host's addresses; raises `OSError`."""
        opened = socket.create_connection((address, self.port), self.connect_timeout)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                opened = self.tls.wrap_socket(opened, server_hostname=self.host)
            opened.settimeout(self.read_timeout)
        except BaseException:
            opened.close()
            raise
        return opened


@dataclass(frozen=True, slots=True)
class Url:
    """An address taken apart; `target` is what to ask the server for."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """Raise `ValueError` unless it is a whole `http` or `https` URL."""
        parts = urlsplit(text)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError(f'"{text}" is no address of a server')
        query = f"?{parts.query}" if parts.query else ""
        target = f"{parts.path or '/'}{query}"
        return cls(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme], target)
