"""The load: plain sockets, so that the client costs as little as Python allows."""

from __future__ import annotations

import hashlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.layers import MIB, Layer, Pool
from benchmarks.servers import Server

_PATIENCE = struct.pack("ll", 180, 0)
_CHUNK = 32 * 1024  # what Go's io.Copy reads, and so docker's client sends, at a time

Check = Callable[[memoryview], object]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]


def connect(server: Server) -> socket.socket:
    """Open a connection that blocks; the kernel's timeouts leave sends whole, unlike Python's."""
    made = socket.create_connection(("127.0.0.1", server.port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
    return made


class Connection:
    """One keep-alive connection to the registry door."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket = connect(server)
        self._buffer = memoryview(bytearray(MIB))

    def close(self) -> None:
        self._socket.close()

    def call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: str = "",
        check: Check | None = None,
    ) -> Answer:
        """Send a request, read the whole answer; `check` gets the body in pieces."""
        self._send_head(method, path, f"Content-Length: {len(body)}\r\n{headers}")
        self._socket.sendall(body)
        return self._receive(method, check)

    def send_layer(self, path: str, pool: Pool, layer: Layer) -> Answer:
        """PATCH a layer with its length told."""
        self._send_head("PATCH", path, f"{_OCTETS}Content-Length: {layer.size}\r\n")
        for length in pool.spans(layer.size):
            self._socket.sendfile(pool.file, 0, length)
        self._socket.sendall(layer.tail)
        return self._receive("PATCH")

    def send_layer_in_chunks(self, path: str, pool: Pool, layer: Layer) -> Answer:
        """PATCH a layer as docker does, which does not tell the length."""
        self._send_head("PATCH", path, f"{_OCTETS}Transfer-Encoding: chunked\r\n")
        head = b"%x\r\n" % _CHUNK
        for length in pool.spans(layer.size):
            whole = length // _CHUNK * _CHUNK
            for start in range(0, whole, _CHUNK):
                piece = pool.view[start : start + _CHUNK]
                if self._socket.sendmsg([head, piece, b"\r\n"]) != len(head) + _CHUNK + 2:
                    raise TimeoutError(f"{self._server.name} takes no more")
            if whole < length:
                rest = pool.view[whole:length]
                self._socket.sendall(b"%x\r\n%b\r\n" % (len(rest), bytes(rest)))
        self._socket.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(layer.tail), layer.tail))
        return self._receive("PATCH")

    def _send_head(self, method: str, path: str, headers: str) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._server.port}\r\n{headers}"
        self._socket.sendall(head.encode() + self._server.authorization + b"\r\n")

    def _receive(self, method: str, check: Check | None = None) -> Answer:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionError(f"{self._server.name} closed before its answer")
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        left = 0 if method == "HEAD" else int(headers.get("content-length", "0")) - len(rest)
        if check is not None:
            check(memoryview(rest))
        while left > 0:
            count = self._socket.recv_into(self._buffer, min(len(self._buffer), left))
            if not count:
                raise ConnectionError(f"{self._server.name} closed inside of its answer")
            if check is not None:
                check(self._buffer[:count])
            left -= count
        return Answer(int(status.split()[1]), headers)


_OCTETS = "Content-Type: application/octet-stream\r\n"


def push(connection: Connection, pool: Pool, layer: Layer, *, in_chunks: bool = False) -> None:
    """Push a layer as docker does: POST, PATCH, PUT."""
    started = connection.call("POST", "/v2/bench/blobs/uploads/")
    _expect(started, 202)
    send = connection.send_layer_in_chunks if in_chunks else connection.send_layer
    patched = send(_path(started), pool, layer)
    _expect(patched, 202)
    where = _path(patched)
    mark = "&" if "?" in where else "?"
    _expect(connection.call("PUT", f"{where}{mark}digest={layer.digest}"), 201)


def push_all(
    server: Server, pool: Pool, lanes: Sequence[Sequence[Layer]], *, in_chunks: bool = False
) -> float:
    """Push each lane's layers over a connection of its own, all lanes at once; give the seconds."""
    connections = [Connection(server) for _ in lanes]
    failures: list[BaseException] = []

    def run(connection: Connection, layers: Sequence[Layer]) -> None:
        try:
            for layer in layers:
                push(connection, pool, layer, in_chunks=in_chunks)
        except BaseException as error:  # noqa: BLE001 - raised by the main thread
            failures.append(error)

    threads = [
        threading.Thread(target=run, args=pair) for pair in zip(connections, lanes, strict=True)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    if failures:
        raise failures[0]
    return seconds


def verify(server: Server, layer: Layer) -> None:
    """Pull a layer and compare its digest; raises `RuntimeError`."""
    connection, hasher = Connection(server), hashlib.sha256()
    try:
        _expect(connection.call("GET", f"/v2/bench/blobs/{layer.digest}", check=hasher.update), 200)
    finally:
        connection.close()
    if "sha256:" + hasher.hexdigest() != layer.digest:
        raise RuntimeError(f"{server.name} gave other bytes than were pushed")


def _expect(answer: Answer, status: int) -> None:
    if answer.status != status:
        raise RuntimeError(f"answered {answer.status}, not {status}: {answer.headers}")


def _path(answer: Answer) -> str:
    where = answer.headers["location"]
    return "/" + where.split("/", 3)[3] if where.startswith("http") else where


class _Lane:
    """One connection of `drive`: what is known of the answer under way."""

    __slots__ = ("_expected", "_has_body", "_head", "_left", "began", "bytes", "socket")

    def __init__(self, server: Server, status: int, *, has_body: bool) -> None:
        self.socket = connect(server)
        self.bytes = 0
        self.began = 0.0
        self._expected = b"HTTP/1.1 %d" % status
        self._has_body = has_body
        self._head = b""
        self._left = 0

    def ask(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def has_answer(self, buffer: memoryview) -> bool:
        """Read what is there; tell whether the answer is complete now."""
        count = self.socket.recv_into(buffer)
        if not count:
            raise ConnectionError("closed before the whole answer")
        if self._left:
            self._left -= count
            self.bytes += count
            return not self._left
        head, end, rest = (self._head + bytes(buffer[:count])).partition(b"\r\n\r\n")
        if not end:
            self._head = head
            return False
        self._head = b""
        if not head.startswith(self._expected):
            raise RuntimeError(f"unexpected answer: {head!r} {rest[:500]!r}")
        if self._has_body:
            length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            self._left = int(length) - len(rest)
            self.bytes += len(rest)
        return not self._left


@dataclass
class Driven:
    """What `drive` did: bytes of the bodies, seconds in all and of each request."""

    bytes: int
    seconds: float
    latencies: list[float]


def drive(
    server: Server, requests: Sequence[bytes], connections: int, *, status: int = 200
) -> Driven:
    """Send the requests over several connections, one at a time each; no bodies are kept."""
    has_body = not requests[0].startswith(b"HEAD")
    lanes = [_Lane(server, status, has_body=has_body) for _ in range(connections)]
    waiting: Iterator[bytes] = iter(requests)
    buffer = memoryview(bytearray(MIB))
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for lane, request in zip(lanes, waiting, strict=False):
            selector.register(lane.socket, selectors.EVENT_READ, lane)
            lane.ask(request)
        while len(latencies) < len(requests):
            ready = selector.select(timeout=180)
            if not ready:
                raise TimeoutError(f"{server.name} answers no more")
            for key, _ in ready:
                lane = key.data
                if lane.has_answer(buffer):
                    latencies.append(time.perf_counter() - lane.began)
                    following = next(waiting, None)
                    if following is not None:
                        lane.ask(following)
        seconds = time.perf_counter() - began
    for lane in lanes:
        lane.socket.close()
    return Driven(sum(lane.bytes for lane in lanes), seconds, latencies)
