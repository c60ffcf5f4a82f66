"""Several workers in one server: whatever one of them was told, every other one knows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.images import digest_of, make_image
from tests.support.registry import MIB, some_bytes, wait_until, workers_of, writers_of
from tests.support.server import Server, running_server
from tests.support.wire import Wire

SIZE = 64 * MIB


@pytest.fixture(scope="module")
def pair() -> Iterator[Server]:
    """A server with two workers and the repository r/r."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--workers", "2") as running,
    ):
        running.ecr().create_repository(repositoryName="r/r")
        yield running


def worker_of(server: Server, wire: Wire) -> psutil.Process:
    """Give the worker that has accepted the connection."""
    port = wire.socket.getsockname()[1]
    (worker,) = [
        worker
        for worker in workers_of(server)
        if any(one.raddr and one.raddr.port == port for one in worker.net_connections("tcp"))
    ]
    return worker


@contextlib.contextmanager
def connections_to_both(server: Server) -> Iterator[tuple[Wire, Wire]]:
    """Connect until there is a connection to each of the two workers."""
    with contextlib.ExitStack() as stack:
        found: dict[int, Wire] = {}

        def is_complete() -> bool:
            wire = stack.enter_context(Wire(server))
            wire.ask("GET", "/v2/")
            found.setdefault(worker_of(server, wire).pid, wire)
            return len(found) == 2

        wait_until(is_complete)
        one, other = found.values()
        yield one, other


def bytes_read(server: Server) -> int:
    """Give how many bytes the workers have read from files so far."""
    return sum(worker.io_counters().read_chars for worker in workers_of(server))


def begin(wire: Wire) -> str:
    location = wire.ask("POST", "/v2/r/r/blobs/uploads/", {"Content-Length": 0}).headers["Location"]
    assert location is not None
    return location


def append(wire: Wire, location: str, content: bytes) -> None:
    wire.head("PATCH", location, {"Content-Length": len(content)})
    wire.send(content)
    answer = wire.answer()
    assert answer.status == 202, answer.body


def complete(wire: Wire, location: str, digest: str) -> int:
    return wire.ask("PUT", f"{location}?digest={digest}", {"Content-Length": 0}).status


def test_upload_goes_on_at_another_worker_without_hashing_twice(pair: Server) -> None:
    content = some_bytes(SIZE, "workers")
    with connections_to_both(pair) as (one, other):
        location = begin(one)
        append(one, location, content)
        before = bytes_read(pair)

        status = complete(other, location, digest_of(content))

        read = bytes_read(pair) - before
        pulled = one.ask("GET", f"/v2/r/r/blobs/{digest_of(content)}")

    assert status == 201
    assert read < MIB
    assert pulled.body == content


def test_bytes_read_shows_a_file_that_is_read_again(pair: Server) -> None:
    content = some_bytes(SIZE, "unequal")
    with connections_to_both(pair) as (one, other):
        location = begin(one)
        append(one, location, content)
        before = bytes_read(pair)

        # Only the hash that was announced can be kept up on the way.
        complete(other, location, "sha512:" + "0" * 128)

        read = bytes_read(pair) - before

    assert read >= SIZE


def test_parts_may_come_through_different_workers(pair: Server) -> None:
    pieces = [some_bytes(size, "parts") for size in (3 * MIB, 1000, 0, 5 * MIB + 1, 1)]
    content = b"".join(pieces)
    with connections_to_both(pair) as (one, other):
        location = begin(other)
        for number, piece in enumerate(pieces):
            append((one, other)[number % 2], location, piece)
        before = bytes_read(pair)

        status = complete(one, location, digest_of(content))

        read = bytes_read(pair) - before
        pulled = other.ask("GET", f"/v2/r/r/blobs/{digest_of(content)}")

    assert status == 201
    assert read < MIB
    assert pulled.body == content


def test_status_and_end_of_an_upload_are_known_to_every_worker(pair: Server) -> None:
    with connections_to_both(pair) as (one, other):
        location = begin(one)
        append(one, location, b"a" * 1000)
        status = other.ask("GET", location)
        ended = other.ask("DELETE", location)
        after = one.ask("GET", location)

    assert (status.status, status.headers["Range"]) == (204, "0-999")
    assert ended.status == 204
    assert (after.status, after.code) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_completion_repeated_at_another_worker_gives_the_first_answer(pair: Server) -> None:
    content = some_bytes(1000, "repeated")
    with connections_to_both(pair) as (one, other):
        location = begin(one)
        append(one, location, content)

        statuses = [complete(wire, location, digest_of(content)) for wire in (one, other, one)]

    assert statuses == [201, 201, 201]


def test_writer_at_one_worker_holds_off_another_worker(pair: Server) -> None:
    content = some_bytes(5 * MIB, "held off")
    with connections_to_both(pair) as (one, other):
        location = begin(one)
        one.head("PATCH", location, {"Content-Length": len(content)})
        one.send(content[:MIB])
        wait_until(lambda: writers_of(pair, location) == 1)
        other.head("PATCH", location, {"Content-Length": 6})
        other.send(b"second")
        refused = other.answer()
        one.send(content[MIB:])
        accepted = one.answer()

    assert (refused.status, refused.code) == (429, "TOOMANYREQUESTS")
    assert (accepted.status, accepted.headers["Range"]) == (202, f"0-{len(content) - 1}")


def test_image_pushed_at_one_worker_is_read_and_deleted_at_another(pair: Server) -> None:
    first, second = make_image(), make_image()
    path = "/v2/r/r/manifests/moving"
    with connections_to_both(pair) as (one, other):
        for blob in (*first.blobs, *second.blobs):
            location = begin(one)
            append(one, location, blob.content)
            complete(other, location, blob.digest)
        read = []
        for image in (first, second, first):
            one.head("PUT", path, {"Content-Length": len(image.manifest)})
            one.send(image.manifest.encode())
            one.answer()
            read.append(other.ask("GET", path).body.decode())
        deleted = other.ask("DELETE", f"/v2/r/r/manifests/{first.digest}")
        after = one.ask("GET", path)

    assert read == [first.manifest, second.manifest, first.manifest]
    assert deleted.status == 202
    assert (after.status, after.code) == (404, "MANIFEST_UNKNOWN")
