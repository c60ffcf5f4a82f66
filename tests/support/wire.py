"""HTTP by hand: requests sent piece by piece, broken off or malformed as a test needs them."""

from __future__ import annotations

import http.client
import socket
import struct
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.support.server import Server


@dataclass(frozen=True)
class Answer:
    """A response as it came."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """The specification's code of an error."""
        document: dict[str, Any] = msgspec.json.decode(self.body)
        return str(document["errors"][0]["code"])


def basic(user: str, password: str) -> str:
    """Give the Authorization header of these credentials."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


class Wire:
    """One connection to a server's registry door, with the root key's credentials.

    Given a port instead of a server, there are no credentials.
    """

    def __init__(self, server: Server | int) -> None:
        port = server if isinstance(server, int) else server.port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self.socket.makefile("rb")
        self._headers = {"Host": f"127.0.0.1:{port}"}
        if isinstance(server, Server):
            self._headers["Authorization"] = basic(server.key_id, server.secret)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def text(self, method: str, path: str, headers: Mapping[str, str | int] | None = None) -> bytes:
        """Give a request up to where its body begins; `headers` count before the usual ones."""
        lines = {**self._headers, **(headers or {})}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("utf-8", "surrogateescape")

    def head(self, method: str, path: str, headers: Mapping[str, str | int] | None = None) -> None:
        """Send a request up to where its body begins."""
        self.send(self.text(method, path, headers))

    def answer(self, *, has_body: bool = True) -> Answer:
        """Wait for the next response; raises `ConnectionError` when none comes any more."""
        line = self._file.readline()
        if not line:
            raise ConnectionResetError("the server closed the connection")
        headers = http.client.parse_headers(self._file)
        length = int(headers.get("Content-Length", 0)) if has_body else 0
        return Answer(int(line.split()[1]), headers, self._file.read(length))

    def ask(self, method: str, path: str, headers: Mapping[str, str | int] | None = None) -> Answer:
        """Send a request without a body and wait for its response."""
        self.head(method, path, headers)
        return self.answer(has_body=method != "HEAD")

    def receive(self, size: int) -> bytes:
        """Wait for the next bytes, whatever they are."""
        return self._file.read(size)

    def rest(self) -> bytes:
        """Wait until the server ends the connection; give what it still sent."""
        try:
            return self._file.read()
        except ConnectionError:
            return b""

    def end(self) -> None:
        """Send nothing more, as a client does that ends in good order (FIN)."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off, as a client does that is killed (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
