"""Large bodies read from their sockets by threads, and the connections they came on."""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from ecrate.domain.errors import BodyTruncated
from ecrate.web.handoff import MIN_LENGTH, STALL_LIMIT, Turn, pump
from ecrate.web.threads import HANDOFF_THREADS, Threads
from tests.support.images import digest_of
from tests.support.registry import (
    MIB,
    finish_upload,
    pull_blob,
    push_blob,
    size_of,
    some_bytes,
    start_upload,
    wait_until,
    writers_of,
)
from tests.support.server import Server, running_server, start_server
from tests.support.wire import Wire

TICK = 0.02


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.stop()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's and the client's end of a connection; the server's ticks 50 times a second."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    server.settimeout(TICK)
    with server, client:
        yield server, client


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def __call__(self, piece: memoryview) -> None:
        self.pieces.append(bytes(piece))

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces)


Ends = tuple[socket.socket, socket.socket]


def test_pump_gives_all_in_pieces_of_a_mebibyte_at_most(ends: Ends, threads: Threads) -> None:
    server, client = ends
    content, sink = some_bytes(5 * MIB + 7), Sink()
    sending = threading.Thread(target=client.sendall, args=(content,))
    sending.start()

    pump(server, len(content), len(content), sink, Turn(threads))

    sending.join()
    assert sink.content == content
    assert max(map(len, sink.pieces)) <= MIB


def test_pump_leaves_what_comes_behind_the_body(ends: Ends, threads: Threads) -> None:
    server, client = ends
    sink = Sink()
    client.sendall(b"body" + b"next request")

    pump(server, 4, 4, sink, Turn(threads))

    assert sink.content == b"body"
    assert server.recv(100) == b"next request"


def test_pump_of_nothing_reads_nothing(ends: Ends, threads: Threads) -> None:
    server, client = ends
    sink = Sink()
    client.sendall(b"next request")

    pump(server, 0, MIN_LENGTH, sink, Turn(threads))

    assert sink.content == b""
    assert server.recv(100) == b"next request"


def test_pump_gives_up_on_a_client_that_stalls(ends: Ends, threads: Threads) -> None:
    server, client = ends
    sink = Sink()
    client.sendall(b"a" * 1000)

    with pytest.raises(BodyTruncated) as caught:
        pump(server, 5000, 9000, sink, Turn(threads))

    # 4,000 of the 9,000 bytes had been received before.
    assert (caught.value.received, caught.value.expected) == (5000, 9000)
    assert sink.content == b"a" * 1000


def test_pump_bears_a_client_that_rests_less_than_the_limit(ends: Ends, threads: Threads) -> None:
    server, client = ends
    sink = Sink()

    def send_slowly() -> None:
        for _ in range(4):
            client.sendall(b"a")
            time.sleep(STALL_LIMIT * TICK / 3)
        client.sendall(b"a")

    sending = threading.Thread(target=send_slowly)
    sending.start()

    pump(server, 5, 5, sink, Turn(threads))

    sending.join()
    assert sink.content == b"aaaaa"


def end(client: socket.socket) -> None:
    client.close()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("leave", [end, reset])
def test_pump_gives_what_came_before_the_client_left(
    ends: Ends, threads: Threads, leave: Callable[[socket.socket], None]
) -> None:
    server, client = ends
    sink = Sink()
    client.sendall(b"a" * 1000)
    leave(client)

    with pytest.raises(BodyTruncated) as caught:
        pump(server, 5000, 5000, sink, Turn(threads))

    assert (caught.value.received, caught.value.expected) == (1000, 5000)
    assert sink.content == b"a" * 1000


def test_pump_gives_up_when_the_server_stops(ends: Ends, threads: Threads) -> None:
    server, client = ends
    sink = Sink()
    client.sendall(b"a" * 1000)
    threads.is_stopping = True

    with pytest.raises(BodyTruncated):
        pump(server, 5000, 5000, sink, Turn(threads))

    assert sink.content == b"a" * 1000


def test_pump_raises_what_the_sink_raises(ends: Ends, threads: Threads) -> None:
    server, client = ends

    def full(_: memoryview) -> None:
        raise OSError(28, "No space left on device")

    client.sendall(b"a" * 1000)

    with pytest.raises(OSError, match="No space left"):
        pump(server, 1000, 1000, full, Turn(threads))


def patch(wire: Wire, location: str, length: int, **headers: str) -> bytes:
    return wire.text("PATCH", location, {"Content-Length": length, **headers})


@pytest.fixture(scope="module")
def single() -> Iterator[Server]:
    """A server with one worker and the repository r/r."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--workers", "1") as running,
    ):
        running.ecr().create_repository(repositoryName="r/r")
        yield running


@pytest.fixture
def http(single: Server) -> Iterator[httpx.Client]:
    with single.http() as client:
        yield client


def test_body_in_tiny_pieces_arrives(single: Server, http: httpx.Client) -> None:
    content = some_bytes(MIN_LENGTH + 3, "tiny")
    location = start_upload(http, "r/r")
    with Wire(single) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = patch(wire, location, len(content))
        for start in range(0, len(head), 7):
            wire.send(head[start : start + 7])
        for start in range(3000):
            wire.send(content[start : start + 1])
        for start in range(3000, len(content), 1111):
            wire.send(content[start : start + 1111])
        answer = wire.answer()

    assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(content) - 1}")
    assert finish_upload(http, location, content).status_code == 201
    assert pull_blob(http, "r/r", digest_of(content)) == content


@pytest.mark.parametrize("first", [MIB, MIB + 1, 6 * MIB], ids=["1MiB", "1MiB+1", "6MiB"])
@pytest.mark.parametrize("second", [0, 1000, 500_000, 3 * MIB], ids=["0", "1kB", "500kB", "3MiB"])
def test_next_request_right_behind_the_body_is_answered(
    single: Server, http: httpx.Client, first: int, second: int
) -> None:
    contents = [some_bytes(first, "first"), some_bytes(second, "second")]
    locations = [start_upload(http, "r/r"), start_upload(http, "r/r")]
    with Wire(single) as wire:
        heads = [patch(wire, locations[0], first), patch(wire, locations[1], second)]
        # The second body comes in two: its first half in one go with all that is before it.
        wire.send(heads[0] + contents[0] + heads[1] + contents[1][: second // 2])
        wire.send(contents[1][second // 2 :] + wire.text("GET", "/v2/"))
        answers = [wire.answer() for _ in range(3)]

    assert [answer.status for answer in answers] == [202, 202, 200]
    completed = [
        finish_upload(http, location, content).status_code
        for location, content in zip(locations, contents, strict=True)
    ]
    assert completed == [201, 201]


def test_connection_serves_one_large_body_after_another(single: Server, http: httpx.Client) -> None:
    location = start_upload(http, "r/r")
    pieces = [some_bytes(size, "one") for size in (MIB, 10, 3 * MIB, 0, MIB + 1, 70_000, 2 * MIB)]
    ends = []
    with Wire(single) as wire:
        for piece in pieces:
            wire.send(patch(wire, location, len(piece)) + piece)
            ends.append(wire.answer().headers["Range"])
            ends.append(wire.ask("GET", location).headers["Range"])
        content = b"".join(pieces)
        done = wire.ask("PUT", f"{location}?digest={digest_of(content)}", {"Content-Length": 0})

    sizes = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    assert ends == [f"0-{size - 1}" for size in sizes for _ in range(2)]
    assert done.status == 201
    assert pull_blob(http, "r/r", digest_of(content)) == content


def test_body_of_a_request_to_upgrade_is_read(single: Server, http: httpx.Client) -> None:
    content = some_bytes(2 * MIB, "upgrade")
    location = start_upload(http, "r/r")
    with Wire(single) as wire:
        head = patch(wire, location, len(content), Connection="Upgrade", Upgrade="websocket")
        wire.send(head + content)
        first = wire.answer()
        second = wire.ask("GET", location)

    assert (first.status, second.status) == (202, 204)
    assert finish_upload(http, location, content).status_code == 201


@pytest.mark.parametrize("pause", [number / 500 for number in range(10)])
def test_nothing_behind_a_malformed_body_is_a_request(
    single: Server, http: httpx.Client, pause: float
) -> None:
    chunk = b"%x\r\n%b\r\n" % (4 * MIB, bytes(4 * MIB))
    location = start_upload(http, "r/r")
    with Wire(single) as wire:
        wire.head("PATCH", location, {"Transfer-Encoding": "chunked"})
        wire.send(chunk + b"no chunk\r\n")
        time.sleep(pause)  # what follows comes while the answer is made
        wire.send(b"0\r\n\r\n" + wire.text("GET", "/v2/"))
        answer = wire.answer()
        wire.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.receive(1)

    assert answer.status == 400


def test_more_uploads_than_threads_all_arrive(single: Server, http: httpx.Client) -> None:
    contents = [some_bytes(2 * MIB, str(number)) for number in range(HANDOFF_THREADS + 8)]
    locations = [start_upload(http, "r/r") for _ in contents]
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(single)) for _ in contents]
        for wire, location, content in zip(wires, locations, contents, strict=True):
            wire.send(patch(wire, location, len(content)) + content[:MIB])
        wait_until(lambda: all(writers_of(single, one) == 1 for one in locations))
        beside = push_blob(http, "r/r", some_bytes(3 * MIB, "beside"))
        for wire, content in zip(wires, contents, strict=True):
            wire.send(content[MIB:])
        answers = [wire.answer().status for wire in wires]

    assert answers == [202] * len(contents)
    assert pull_blob(http, "r/r", beside) == some_bytes(3 * MIB, "beside")
    completed = [
        finish_upload(http, location, content).status_code
        for location, content in zip(locations, contents, strict=True)
    ]
    assert completed == [201] * len(contents)


def test_threads_are_free_again_after_clients_that_went(single: Server, http: httpx.Client) -> None:
    locations = [start_upload(http, "r/r") for _ in range(HANDOFF_THREADS * 2)]
    for location in locations:
        with Wire(single) as wire:
            wire.send(patch(wire, location, 5 * MIB) + bytes(1000))
            wait_until(lambda at=location: writers_of(single, at) == 1)  # type: ignore[misc]
            wire.reset()

    wait_until(lambda: not any(writers_of(single, one) for one in locations))
    with ThreadPoolExecutor(HANDOFF_THREADS) as pool:
        contents = [some_bytes(2 * MIB, f"after {number}") for number in range(HANDOFF_THREADS)]
        digests = list(pool.map(lambda content: push_blob(http, "r/r", content), contents))

    assert digests == [digest_of(content) for content in contents]


@contextlib.contextmanager
def server_to_stop(data: Path, grace: str) -> Iterator[Server]:
    server = start_server(data, "--workers", "1", env={"ECRATE_SHUTDOWN_GRACE": grace})
    try:
        yield server
    finally:
        server.kill()


def test_body_under_way_is_finished_before_the_server_stops(tmp_path: Path) -> None:
    content = some_bytes(5 * MIB, "stop")
    with server_to_stop(tmp_path / "data", "60") as server, server.http() as http:
        server.ecr().create_repository(repositoryName="r/r")
        location = start_upload(http, "r/r")
        with Wire(server) as idle, Wire(server) as wire:
            idle.ask("GET", "/v2/")
            wire.send(patch(wire, location, len(content)) + content[:MIB])
            wait_until(lambda: writers_of(server, location) == 1)
            server.process.terminate()
            idle.rest()
            wire.send(content[MIB:])
            answer = wire.answer()
            rest = wire.rest()
        code = server.process.wait(60)

    assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(content) - 1}")
    assert rest == b""
    assert code == 0
    with running_server(tmp_path / "data") as server, server.http() as http:
        assert finish_upload(http, location, content).status_code == 201
        assert pull_blob(http, "r/r", digest_of(content)) == content


def test_body_that_takes_too_long_is_cut_off_when_the_server_stops(tmp_path: Path) -> None:
    content = some_bytes(5 * MIB, "cut off")
    with server_to_stop(tmp_path / "data", "0") as server, server.http() as http:
        server.ecr().create_repository(repositoryName="r/r")
        location = start_upload(http, "r/r")
        http.patch(location, content=content[:MIB])
        with Wire(server) as wire:
            wire.send(patch(wire, location, 4 * MIB) + content[MIB : 2 * MIB])
            wait_until(lambda: writers_of(server, location) == 1)
            server.process.terminate()
            wire.rest()
        code = server.process.wait(60)

    assert code == 0
    with running_server(tmp_path / "data") as server, server.http() as http:
        kept = size_of(http, location)
        http.patch(location, content=content[kept:])

        assert MIB <= kept <= 2 * MIB
        assert finish_upload(http, location, content).status_code == 201
        assert pull_blob(http, "r/r", digest_of(content)) == content
