"""What is measured. A scenario prepares both servers once and is then run in turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.load import MIB, Blob, Connection, at_once, pull, push, repeat
from benchmarks.servers import Server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


Load = Callable[[Server, object], float]


@dataclass(frozen=True)
class Scenario:
    """`run` loads a server and gives the work done: bytes, or a count of requests.

    `target` is how many times less CPU than docker-registry issue 2 asks for, 0 for none.
    """

    name: str
    unit: str
    target: float
    prepare: Callable[[Server], object]
    run: Load


def nothing(_: Server) -> object:
    return None


def pushing(size: int, count: int, *, is_chunked: bool = False) -> Load:
    def run(server: Server, _: object) -> float:
        blobs = [_blob(size, number) for number in range(count)]
        at_once([partial(push, server, one, is_chunked=is_chunked) for one in blobs])
        return float(size * count)

    return run


_BLOBS: dict[tuple[int, int], Blob] = {}


def _blob(size: int, number: int) -> Blob:
    blob = _BLOBS.get((size, number))
    if blob is None:
        blob = _BLOBS[size, number] = Blob(size)
    return blob


def renew_blobs() -> None:
    """Make all blobs new to the servers; done outside of what is timed."""
    for blob in _BLOBS.values():
        blob.renew()


def pushed(size: int) -> Callable[[Server], object]:
    def prepare(server: Server) -> object:
        blob = _blob(size, 0)
        push(server, blob)
        pull(server, blob.digest, 1, is_checked=True)
        return blob.digest

    return prepare


def pulling(connections: int, times: int) -> Load:
    def run(server: Server, digest: object) -> float:
        totals: list[int] = []
        jobs = [lambda: totals.append(pull(server, str(digest), times)) for _ in range(connections)]
        at_once(jobs)  # type: ignore[arg-type]
        return float(sum(totals))

    return run


def with_manifest(server: Server) -> object:
    """Push an image of one small layer under the tag `v1`."""
    config, layer = Blob(100), Blob(1000)
    for blob in (config, layer):
        push(server, blob)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_descriptor(layer, "application/vnd.oci.image.layer.v1.tar")] * 6,
    }
    connection = Connection(server)
    headers = f"Content-Type: {MANIFEST}\r\n"
    body = json.dumps(document).encode()
    answer = connection.call("PUT", "/v2/bench/manifests/v1", body, headers=headers)
    connection.close()
    if answer.status != 201:
        raise RuntimeError(f"{server.name} answered {answer.status} to a manifest")
    return layer.digest


def _descriptor(blob: Blob, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def requesting(method: str, path: str, count: int, status: str = "200") -> Load:
    def run(server: Server, prepared: object) -> float:
        where = path.format(digest=prepared)
        head = f"{method} {where} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {MANIFEST}\r\n\r\n"
        repeat(server, head.encode(), 32, count, status.encode())
        return float(count)

    return run


def small_pushes(server: Server, _: object) -> float:
    blobs = [Blob(64 * 1024) for _ in range(200)]

    def lane(number: int) -> None:
        for blob in blobs[number::4]:
            push(server, blob)

    at_once([partial(lane, number) for number in range(4)])
    return float(len(blobs))


BIG = 256 * MIB
MISSING = "sha256:" + "0" * 64
SCENARIOS = (
    Scenario("push 256 MiB x 1", "GB", 2.5, nothing, pushing(BIG, 1)),
    Scenario("push 256 MiB x 4", "GB", 2.5, nothing, pushing(BIG, 4)),
    Scenario("push 256 MiB x 1, chunked", "GB", 0, nothing, pushing(BIG, 1, is_chunked=True)),
    Scenario("push 64 KiB x 200", "request", 0, nothing, small_pushes),
    Scenario("pull 256 MiB x 1", "GB", 2, pushed(BIG), pulling(1, 4)),
    Scenario("pull 256 MiB x 8", "GB", 2, pushed(BIG), pulling(8, 1)),
    Scenario("pull 1 MiB, 32 connections", "GB", 4, pushed(MIB), pulling(32, 40)),
    Scenario(
        "manifest GET by tag",
        "request",
        6,
        with_manifest,
        requesting("GET", "/v2/bench/manifests/v1", 4000),
    ),
    Scenario(
        "blob HEAD, hit",
        "request",
        0,
        with_manifest,
        requesting("HEAD", "/v2/bench/blobs/{digest}", 4000),
    ),
    Scenario(
        "blob HEAD, miss",
        "request",
        0,
        with_manifest,
        requesting("HEAD", f"/v2/bench/blobs/{MISSING}", 4000, "404"),
    ),
)
