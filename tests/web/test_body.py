"""Request bodies: refused early, streamed, held in few buffers, and never half believed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import BodyTooLarge, BodyTruncated
from ecrate.web import body, handoff
from ecrate.web.body import SMALL_BODY, Bodies
from ecrate.web.threads import HANDOFF_THREADS, Threads
from tests.support.images import digest_of, make_image
from tests.support.registry import (
    MIB,
    finish_upload,
    pull_blob,
    push_blobs,
    some_bytes,
    start_upload,
    upload_file,
    wait_until,
)
from tests.support.server import Server
from tests.support.serving import serving
from tests.support.wire import Wire
from tests.web.conftest import Receiver

LIMIT = 20 * MIB


def chunks(content: bytes, size: int) -> bytes:
    """Give the content in chunked transfer encoding."""
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(0, id="empty"),
        pytest.param(1, id="1B"),
        pytest.param(MIB - 1, id="ordinary-way"),
        pytest.param(MIB, id="by-a-thread"),
        pytest.param(LIMIT, id="limit"),
    ],
)
def test_stream_body_gives_a_body_with_a_length(receiver: Receiver, size: int) -> None:
    content = some_bytes(size)

    answer = httpx.put(f"http://127.0.0.1:{receiver.port}/", content=content)

    assert (answer.status_code, answer.text) == (200, sha256(content))
    assert receiver.received == content


@pytest.mark.parametrize("step", [1, 1000, 100_000, 3 * MIB])
def test_stream_body_gives_a_chunked_body(receiver: Receiver, step: int) -> None:
    content = some_bytes(min(step * 10_000, 5 * MIB), "chunked")
    with Wire(receiver.port) as wire:
        wire.send(wire.text("PUT", "/", {"Transfer-Encoding": "chunked"}) + chunks(content, step))
        answer = wire.answer()

        assert wire.ask("PUT", "/", {"Content-Length": 0}).status == 200

    assert (answer.status, answer.body.decode()) == (200, sha256(content))
    assert receiver.received == content


def test_stream_body_holds_little_of_a_chunked_body(receiver: Receiver) -> None:
    content = some_bytes(LIMIT, "pieces")
    with Wire(receiver.port) as wire:
        wire.send(wire.text("PUT", "/", {"Transfer-Encoding": "chunked"}))
        wire.send(chunks(content, 100_000))
        wire.answer()

    assert max(map(len, receiver.pieces)) <= 3 * MIB


def test_stream_body_ignores_trailers(receiver: Receiver) -> None:
    content = chunks(b"hello", 5).removesuffix(b"\r\n") + b"X-Trailer: yes\r\n\r\n"
    with Wire(receiver.port) as wire:
        wire.send(wire.text("PUT", "/", {"Transfer-Encoding": "chunked"}) + content)
        answer = wire.answer()

    assert answer.body.decode() == sha256(b"hello")


def test_stream_body_keeps_a_content_encoding(receiver: Receiver) -> None:
    content = b"\x1f\x8b\x08 not even gzip"

    answer = httpx.put(
        f"http://127.0.0.1:{receiver.port}/", content=content, headers={"Content-Encoding": "gzip"}
    )

    assert answer.text == sha256(content)


def test_stream_body_refuses_a_longer_one_before_it_is_read(receiver: Receiver) -> None:
    with Wire(receiver.port) as wire:
        answer = wire.ask("PUT", "/", {"Content-Length": LIMIT + 1})

    assert answer.status == 400
    assert answer.body == b"The request body is larger than the 20971520 bytes accepted here"
    assert receiver.pieces == []


def test_stream_body_gives_nothing_beyond_the_limit(receiver: Receiver) -> None:
    receiver.limit = 3 * MIB
    with Wire(receiver.port) as wire:
        wire.send(wire.text("PUT", "/", {"Transfer-Encoding": "chunked"}))
        wire.send(chunks(bytes(5 * MIB), 100_000))
        answer = wire.answer()

    assert answer.body == b"The request body is larger than the 3145728 bytes accepted here"
    assert len(receiver.received) <= 3 * MIB


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        pytest.param({"Content-Length": "5000"}, b"a" * 1000, id="length"),
        pytest.param({"Transfer-Encoding": "chunked"}, b"3e8\r\n" + b"a" * 1000, id="chunked"),
        pytest.param({"Transfer-Encoding": "chunked"}, b"fff\r\n" + b"a" * 1000, id="in-a-chunk"),
    ],
)
def test_stream_body_gives_up_on_a_client_that_stalls(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], sent: bytes
) -> None:
    monkeypatch.setattr(body, "_PATIENCE", 0.2)
    monkeypatch.setattr(handoff, "_TICK", 0.005)
    with Wire(receiver.port) as wire:
        wire.send(wire.text("PUT", "/", headers) + sent)
        answer = wire.answer()

    assert answer.status == 400
    assert answer.body.startswith(b"The request body ended after 1000 of ")
    assert receiver.received == b"a" * 1000


def test_stream_body_notices_a_malformed_chunk_long_before_it_gives_up(receiver: Receiver) -> None:
    with Wire(receiver.port) as wire:
        wire.send(wire.text("PUT", "/", {"Transfer-Encoding": "chunked"}))
        wire.send(b"%x\r\n%b\r\n" % (2 * MIB, bytes(2 * MIB)))
        wait_until(lambda: len(receiver.received) >= MIB)
        wire.send(b"zz\r\nhello\r\n")
        answer = wire.answer()

    assert answer.status == 400
    assert answer.body == b"The request body ended after 2097152 of an unknown number of bytes"


@pytest.mark.parametrize("length", [MIB - 1, 3 * MIB], ids=["ordinary-way", "by-a-thread"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["ends", "killed"])
def test_stream_body_gives_what_came_before_the_client_left(
    receiver: Receiver, length: int, *, is_killed: bool
) -> None:
    content = some_bytes(length, "left")
    with Wire(receiver.port) as wire:
        wire.send(wire.text("PUT", "/", {"Content-Length": length}) + content[: length - 1000])
        leave = wire.reset if is_killed else wire.end
        wait_until(lambda: len(receiver.received) > MIB or length < MIB)
        leave()

        expected = 0 if is_killed else length - 1000
        wait_until(lambda: len(receiver.received) >= expected)

    assert content.startswith(receiver.received)


@pytest.mark.parametrize("size", [1000, 2 * MIB], ids=["small", "large"])
def test_upload_welcomes_a_client_that_waits(
    server: Server, http: httpx.Client, repository: str, size: int
) -> None:
    content = some_bytes(size, "expect")
    location = start_upload(http, repository)
    with Wire(server) as wire:
        wire.head("PATCH", location, {"Content-Length": size, "Expect": "100-continue"})
        welcome = wire.answer()
        wire.send(content)
        answer = wire.answer()

    assert (welcome.status, answer.status) == (100, 202)
    assert finish_upload(http, location, content).status_code == 201
    assert pull_blob(http, repository, digest_of(content)) == content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("PATCH", "/v2/no/such/blobs/uploads/x", 404, id="unknown-repository"),
        pytest.param("PATCH", "/v2/{}/blobs/uploads/x", 404, id="unknown-upload"),
        pytest.param("PUT", "/v2/{}/manifests/latest", 413, id="too-large"),
    ],
)
def test_refusal_spares_a_client_that_waits_its_body(
    server: Server, repository: str, method: str, path: str, status: int
) -> None:
    with Wire(server) as wire:
        headers = {"Content-Length": str(5 * MIB), "Expect": "100-continue"}
        wire.head(method, path.format(repository), headers)
        answer = wire.answer()

    assert answer.status == status


def test_bodies_of_zero_bytes_are_bodies(
    server: Server, http: httpx.Client, repository: str
) -> None:
    location = start_upload(http, repository)
    with Wire(server) as wire:
        first = wire.ask("PATCH", location, {"Content-Length": 0})
        wire.send(wire.text("PATCH", location, {"Transfer-Encoding": "chunked"}) + b"0\r\n\r\n")
        second = wire.answer()
        third = wire.ask("PATCH", location)

    assert [one.status for one in (first, second, third)] == [202] * 3
    assert [one.headers["Range"] for one in (first, second, third)] == ["0-0"] * 3
    assert upload_file(server, location).stat().st_size == 0


class Reader:
    """Reads bodies whole and keeps them in the order they were complete."""

    def __init__(self, *, buffers: int) -> None:
        self.threads = Threads()
        self.bodies = Bodies(self.threads, buffers=buffers, size=4 * MIB)
        self.complete: list[bytes] = []
        self.port = 0

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        try:
            async with self.bodies.read(request, 3 * MIB) as (content, digest):
                self.complete.append(bytes(content))
        except (BodyTruncated, BodyTooLarge) as error:
            return Response(status=400, text=str(error))
        return Response(text=digest)


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A server that holds one large body at a time in memory."""
    made = Reader(buffers=1)
    with serving(made) as port:
        made.port = port
        yield made
        made.threads.stop()


@pytest.mark.parametrize(
    "size", [0, 1, SMALL_BODY, SMALL_BODY + 1, MIB, 3 * MIB], ids=lambda size: f"{size}B"
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_bodies_read_gives_the_body_and_its_digest(
    reader: Reader, size: int, *, is_chunked: bool
) -> None:
    content = some_bytes(size, "whole")

    answer = httpx.put(
        f"http://127.0.0.1:{reader.port}/", content=iter([content]) if is_chunked else content
    )

    assert (answer.status_code, answer.text) == (200, sha256(content))
    assert reader.complete == [content]


def test_bodies_read_gives_nothing_of_the_body_before(reader: Reader) -> None:
    contents = [some_bytes(size, "before") for size in (2 * MIB, 70_000, MIB, 65_537)]

    for content in contents:
        httpx.put(f"http://127.0.0.1:{reader.port}/", content=content)

    assert reader.complete == contents


@pytest.mark.parametrize("length", [3 * MIB + 1, 10**15])
def test_bodies_read_refuses_a_longer_one_before_it_is_read(reader: Reader, length: int) -> None:
    with Wire(reader.port) as wire:
        answer = wire.ask("PUT", "/", {"Content-Length": length})

    assert answer.body == b"The request body is larger than the 3145728 bytes accepted here"


def test_bodies_read_lets_large_ones_wait_and_small_ones_pass(reader: Reader) -> None:
    sizes = {"first": 100_000, "second": 200_000, "small": 1000}
    contents = {name: some_bytes(size, name) for name, size in sizes.items()}
    with Wire(reader.port) as first, Wire(reader.port) as second, Wire(reader.port) as small:
        first.send(
            first.text("PUT", "/", {"Content-Length": sizes["first"], "Expect": "100-continue"})
        )
        welcome = first.answer()
        second.send(
            second.text("PUT", "/", {"Content-Length": sizes["second"]}) + contents["second"]
        )
        small.send(small.text("PUT", "/", {"Content-Length": sizes["small"]}) + contents["small"])
        passed = small.answer()
        first.send(contents["first"])
        answers = [first.answer(), second.answer()]

    assert (welcome.status, passed.status) == (100, 200)
    assert [answer.status for answer in answers] == [200, 200]
    assert reader.complete == [contents[name] for name in ("small", "first", "second")]


def test_bodies_read_gives_the_buffer_of_a_slow_client_to_the_next(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = some_bytes(MIB - 1, "next")
    with monkeypatch.context() as hurry, Wire(reader.port) as slow:
        hurry.setattr(body, "_PATIENCE", 0.1)
        hurry.setattr(body, "_SLOWEST", 2**30)
        slow.send(slow.text("PUT", "/", {"Content-Length": 900_000}) + b"a" * 100_000)
        refused = slow.answer()

    answer = httpx.put(f"http://127.0.0.1:{reader.port}/", content=content)

    assert refused.status == 400
    assert answer.text == sha256(content)
    assert reader.complete == [content]


def test_threads_are_free_again_after_slow_clients_that_stay(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = some_bytes(2 * MIB, "behind")
    with ExitStack() as stack:
        slow = [stack.enter_context(Wire(reader.port)) for _ in range(HANDOFF_THREADS)]
        with monkeypatch.context() as hurry:
            hurry.setattr(body, "_PATIENCE", 0.1)
            hurry.setattr(body, "_SLOWEST", 2**30)
            for wire in slow:
                wire.head("PUT", "/", {"Content-Length": 2 * MIB})
            refused = [wire.answer().status for wire in slow]

        answer = httpx.put(f"http://127.0.0.1:{reader.port}/", content=content, timeout=20)

    assert refused == [400] * HANDOFF_THREADS
    assert answer.text == sha256(content)


def test_more_manifests_than_buffers_all_arrive(http: httpx.Client, repository: str) -> None:
    images = [make_image() for _ in range(12)]
    for image in images:
        push_blobs(http, repository, image)
    documents = [image.manifest.encode().ljust(500_000) for image in images]

    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(
                lambda one: http.put(f"/v2/{repository}/manifests/{digest_of(one)}", content=one),
                documents,
            )
        )

    assert [answer.status_code for answer in answers] == [201] * 12
    stored = [http.get(f"/v2/{repository}/manifests/{digest_of(one)}").content for one in documents]
    assert stored == documents
