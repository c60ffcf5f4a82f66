"""A proxy before an S3 server that notes the requests and can do harm to them."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
EXPECT = re.compile(rb"(?i)\r\nexpect: *100-continue")


@dataclass
class Seen:
    """What passed: `POST uploads`, `PUT partNumber=3`, the name of the first parameter that
    tells requests apart, without what differs from run to run.
    """

    names: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass
class Proxy:
    """`loses` tells, of a request's name, whether its answer gets lost, `cuts` whether half of it
    does; `spoils` whether the last byte of its body gets changed; `answers` gives, of name, head
    and body, the answer that the proxy gives itself, if it is to. While it `is_away`, it closes
    every connection.
    """

    port: int
    upstream: int
    loses: Callable[[str], bool] = lambda _: False
    cuts: Callable[[str], bool] = lambda _: False
    spoils: Callable[[str], bool] = lambda _: False
    answers: Callable[[str, bytes, bytes], bytes] = lambda *_: b""
    is_away: bool = False
    seen: Seen = field(default_factory=Seen)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, start: str) -> int:
        """Tell how many requests have a name that starts so."""
        return sum(name.startswith(start) for name in self.seen.names)

    def serve(self, client: socket.socket) -> None:
        """Pass on the requests of one connection."""
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.upstream)) as server,
        ):
            while self._pass_on(client, server):
                pass

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        head, rest = _read_head(client)
        if not head or self.is_away:
            return False
        name = _name(head)
        self.seen.names.append(name)
        if EXPECT.search(head):
            head = EXPECT.sub(b"", head)
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _read_body(client, head, rest)
        if self.spoils(name):
            body = body[:-1] + bytes([body[-1] ^ 1])
        if own := self.answers(name, head, body):
            client.sendall(own)
            return True
        server.sendall(head + body)
        answer, rest = _read_head(server)
        if not head.startswith(b"HEAD"):
            rest = _read_body(server, answer, rest)
        if self.loses(name):
            self.seen.lost.append(name)
            return False
        if self.cuts(name):
            client.sendall((answer + rest)[: (len(answer) + len(rest)) // 2])
            return False
        client.sendall(answer + rest)
        return True


def _name(head: bytes) -> str:
    method, _, rest = head.decode("latin-1").partition(" ")
    query = rest.partition(" ")[0].partition("?")[2]
    for known in (r"partNumber=\d+", "uploads", "uploadId", "list-type"):
        if found := re.search(rf"(?:^|&)({known})", query):
            return f"{method} {found[1]}"
    return method


def _read_head(source: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = source.recv(65536)
        if not piece:
            return b"", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _read_body(source: socket.socket, head: bytes, start: bytes) -> bytes:
    found = LENGTH.search(head)
    if found is None and b"chunked" in head:
        while not start.endswith(b"0\r\n\r\n"):
            start += source.recv(65536)
        return start
    missing = (int(found[1]) if found else 0) - len(start)
    pieces = [start]
    while missing > 0 and (piece := source.recv(min(1024 * 1024, missing))):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def running_proxy(upstream: int) -> Iterator[Proxy]:
    """Run a proxy before a port of this machine for a block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1], upstream)

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


NOT_IMPLEMENTED = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
ACCEPTED = b'HTTP/1.1 200 OK\r\nETag: "etag"\r\nContent-Length: 0\r\n\r\n'


def answering(start: str, answer: bytes) -> Callable[[str, bytes, bytes], bytes]:
    """Give this answer to every request whose name starts so."""
    return lambda name, *_: answer if name.startswith(start) else b""


def once(start: str) -> Callable[[str], bool]:
    """Match the first request whose name starts so, and no other."""
    matched: list[str] = []

    def matches(name: str) -> bool:
        if matched or not name.startswith(start):
            return False
        matched.append(name)
        return True

    return matches


def from_now_on(start: str) -> Callable[[str], bool]:
    """Match every request whose name starts so."""
    return lambda name: name.startswith(start)
