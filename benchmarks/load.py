"""The load: plain sockets, so that the client costs as little as Python allows."""

from __future__ import annotations

import hashlib
import mmap
import os
import selectors
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.servers import Server

MIB = 1024 * 1024


class Blob:
    """Random bytes whose first 16 are changed for each push, so that each is new to a server."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = mmap.mmap(-1, size)
        piece = os.urandom(MIB)
        for start in range(0, size, MIB):
            self.bytes[start : min(start + MIB, size)] = piece[: min(MIB, size - start)]
        self.renew()

    def renew(self) -> None:
        self.bytes[:16] = os.urandom(16)
        self.digest = "sha256:" + hashlib.sha256(self.bytes).hexdigest()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    length: int


class Connection:
    """One keep-alive connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(MIB))

    def close(self) -> None:
        self._socket.close()

    def call(
        self,
        method: str,
        path: str,
        body: bytes | mmap.mmap | memoryview = b"",
        *,
        headers: str = "",
        is_chunked: bool = False,
        check: Callable[[memoryview], None] | None = None,
    ) -> Answer:
        """Send a request, read the whole answer; `check` gets the body in pieces."""
        framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}\r\n{headers}"
        self._socket.sendall(head.encode() + self._server.authorization + b"\r\n")
        if is_chunked:
            self._send_chunks(memoryview(body))
        elif len(body):
            self._socket.sendall(body)
        return self._receive(method, check)

    def _send_chunks(self, view: memoryview) -> None:
        # Go's client, docker's, sends what io.Copy reads: 32 KiB a chunk.
        step = 32 * 1024
        for start in range(0, len(view), step):
            piece = view[start : start + step]
            self._socket.sendmsg([b"%x\r\n" % len(piece), piece, b"\r\n"])
        self._socket.sendall(b"0\r\n\r\n")

    def _receive(self, method: str, check: Callable[[memoryview], None] | None) -> Answer:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionError("closed before the answer")
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        left = length - len(rest)
        if check is not None:
            check(memoryview(rest))
        while left:
            count = self._socket.recv_into(self._buffer, min(len(self._buffer), left))
            if not count:
                raise ConnectionError("closed in the body")
            if check is not None:
                check(self._buffer[:count])
            left -= count
        return Answer(int(status.split()[1]), headers, length)


def push(server: Server, blob: Blob, *, is_chunked: bool = False) -> None:
    """Push a layer as docker does: POST, PATCH, PUT."""
    connection = Connection(server)
    start = connection.call("POST", "/v2/bench/blobs/uploads/")
    patched = connection.call("PATCH", _path(start), blob.bytes, is_chunked=is_chunked)
    where = _path(patched)
    mark = "&" if "?" in where else "?"
    done = connection.call("PUT", f"{where}{mark}digest={blob.digest}")
    connection.close()
    if done.status != 201:
        raise RuntimeError(f"{server.name} answered {done.status} to a push")


def _path(answer: Answer) -> str:
    where = answer.headers["location"]
    return "/" + where.split("/", 3)[3] if where.startswith("http") else where


def pull(server: Server, digest: str, times: int, *, is_checked: bool = False) -> int:
    """Pull a layer several times over one connection and give the bytes."""
    connection, total, hasher = Connection(server), 0, hashlib.sha256()
    for _ in range(times):
        check = hasher.update if is_checked else None
        answer = connection.call("GET", f"/v2/bench/blobs/{digest}", check=check)
        if answer.status != 200:
            raise RuntimeError(f"{server.name} answered {answer.status} to a pull")
        total += answer.length
    connection.close()
    if is_checked and "sha256:" + hasher.hexdigest() != digest:
        raise RuntimeError(f"{server.name} gave other bytes than were pushed")
    return total


def at_once(jobs: list[Callable[[], object]]) -> None:
    """Run jobs in as many threads."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


class _Lane:
    """One connection of `repeat`: how much of the answer under way is still to come."""

    def __init__(self, server: Server, status: bytes, *, has_body: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expected = b"HTTP/1.1 " + status
        self._has_body = has_body
        self._left = 0

    def has_answer(self) -> bool:
        """Read what is there; tell whether an answer is complete now."""
        data = self.socket.recv(262144)
        if self._left:
            self._left -= len(data)
        elif not data.startswith(self._expected):
            raise RuntimeError(f"unexpected answer: {data[:200]!r}")
        else:
            head, _, rest = data.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            self._left = (int(length or 0) if self._has_body else 0) - len(rest)
        return not self._left


def repeat(server: Server, request: bytes, connections: int, count: int, status: bytes) -> None:
    """Send one request `count` times over several connections, one answer at a time each."""
    request = request.replace(b"\r\n\r\n", b"\r\n" + server.authorization + b"\r\n", 1)
    has_body = not request.startswith(b"HEAD")
    lanes = [_Lane(server, status, has_body=has_body) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    for lane in lanes:
        selector.register(lane.socket, selectors.EVENT_READ, lane)
        lane.socket.sendall(request)
    sent, done = connections, 0
    while done < count:
        for key, _ in selector.select():
            if key.data.has_answer():
                done += 1
                if sent < count:
                    key.data.socket.sendall(request)
                    sent += 1
    for lane in lanes:
        lane.socket.close()


def warm_memory(size: int) -> None:
    """Touch memory and give it back.

    On a virtual machine a page that was never used costs the host a fault the first time, which
    would be counted for whichever server's page cache gets it first.
    """
    with mmap.mmap(-1, size) as pages:
        for start in range(0, size, 4096):
            pages[start] = 1
