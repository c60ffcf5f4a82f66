"""What both servers are measured with. A scenario prepares both once and is then run in turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.bench import Bench, Comparison, Job
from benchmarks.layers import MIB, Layer, Pool
from benchmarks.load import Connection, Driven, drive, push, push_all, verify
from benchmarks.servers import Server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_ACCEPT = (
    f"{MANIFEST}, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
_MISSING = "sha256:" + "0" * 64
_BIG = 256 * MIB

Make = Callable[[Bench, Server, Any], Job]


def _nothing(_: Bench, __: Server) -> None:
    return None


def _pushing(size: int, count: int, lanes: int, *, in_chunks: bool = False) -> Make:
    def job(bench: Bench, server: Server, _: object) -> Job:
        layers = [bench.pool.new(size) for _ in range(count)]
        each = [layers[number::lanes] for number in range(lanes)]
        run = partial(push_all, server, bench.pool, each, in_chunks=in_chunks)
        work = size * count if size > MIB else count
        return Job(float(work), run, partial(verify, server, layers[-1]))

    return job


def _pushed(size: int) -> Callable[[Bench, Server], Layer]:
    def prepare(bench: Bench, server: Server) -> Layer:
        layer = bench.pool.new(size)
        push_all(server, bench.pool, [[layer]])
        return layer

    return prepare


def _pulling(connections: int, count: int) -> Make:
    def job(_: Bench, server: Server, layer: Layer) -> Job:
        work = layer.size * count
        request = request_for(server, "GET", f"/v2/bench/blobs/{layer.digest}")

        def run() -> float:
            done = drive(server, [request] * count, connections)
            if done.bytes != work:
                raise RuntimeError(f"{server.name} sent {done.bytes} bytes for {work}")
            return done.seconds

        return Job(float(work), run, partial(verify, server, layer))

    return job


def request_for(server: Server, method: str, path: str) -> bytes:
    """Give a request without a body to the registry door."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: {_ACCEPT}\r\n"
    return head.encode() + server.authorization + b"\r\n"


def push_image(server: Server, pool: Pool, tag: str) -> tuple[Layer, bytes]:
    """Push an image of six small layers; give one of them and the manifest."""
    config, *layers = (pool.new(1000) for _ in range(7))
    connection = Connection(server)
    try:
        for layer in (config, *layers):
            push(connection, pool, layer)
        body = manifest_of(config, layers)
        headers = f"Content-Type: {MANIFEST}\r\n"
        answer = connection.call("PUT", f"/v2/bench/manifests/{tag}", body, headers=headers)
    finally:
        connection.close()
    if answer.status != 201:
        raise RuntimeError(f"{server.name} answered {answer.status} to a manifest")
    return layers[0], body


def manifest_of(config: Layer, layers: list[Layer], **annotations: str) -> bytes:
    """Give an image manifest."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_descriptor(one, "application/vnd.oci.image.layer.v1.tar") for one in layers],
    }
    if annotations:
        document["annotations"] = annotations
    return json.dumps(document).encode()


def _descriptor(layer: Layer, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": layer.digest, "size": layer.size}


def read_manifest(server: Server, tag: str) -> bytes:
    """Give the bytes of a manifest; raises `RuntimeError`."""
    connection, pieces = Connection(server), bytearray()
    try:
        headers = f"Accept: {_ACCEPT}\r\n"
        path = f"/v2/bench/manifests/{tag}"
        answer = connection.call("GET", path, headers=headers, check=pieces.extend)
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{server.name} answered {answer.status} for manifest {tag}")
    return bytes(pieces)


def _asking(method: str, path: str, status: int = 200) -> Make:
    def job(bench: Bench, server: Server, image: tuple[Layer, bytes]) -> Job:
        layer, manifest = image
        count = 2000 if bench.is_quick else 5000
        request = request_for(server, method, path.format(digest=layer.digest))

        def run() -> float:
            done: Driven = drive(server, [request] * count, 32, status=status)
            return done.seconds

        def check() -> None:
            if read_manifest(server, "v1") != manifest:
                raise RuntimeError(f"{server.name} gave another manifest than was pushed")
            verify(server, layer)

        return Job(float(count), run, check)

    return job


def _with_image(bench: Bench, server: Server) -> tuple[Layer, bytes]:
    return push_image(server, bench.pool, "v1")


def _push(name: str, target: float, make: Make, unit: str = "GB") -> Comparison:
    return Comparison(name, unit, target, _nothing, make, leaves_layers=True)


def _ask(name: str, target: float, make: Make) -> Comparison:
    return Comparison(name, "request", target, _with_image, make)


SCENARIOS = (
    _push("push 256 MiB x 1", 2.5, _pushing(_BIG, 1, 1)),
    _push("push 256 MiB x 4", 2.5, _pushing(_BIG, 4, 4)),
    _push("push 256 MiB x 1, as docker", 0, _pushing(_BIG, 1, 1, in_chunks=True)),
    _push("push 256 MiB x 4, as docker", 0, _pushing(_BIG, 4, 4, in_chunks=True)),
    _push(
        "push 64 KiB x 200, 4 connections",
        0,
        _pushing(64 * 1024, 200, 4, in_chunks=True),
        unit="layer",
    ),
    Comparison("pull 256 MiB x 1", "GB", 2, _pushed(_BIG), _pulling(1, 8)),
    Comparison("pull 256 MiB x 8", "GB", 2, _pushed(_BIG), _pulling(8, 16)),
    Comparison("pull 1 MiB, 32 connections", "GB", 4, _pushed(MIB), _pulling(32, 2048)),
    _ask("manifest GET by tag", 6, _asking("GET", "/v2/bench/manifests/v1")),
    _ask("blob HEAD, hit", 0, _asking("HEAD", "/v2/bench/blobs/{digest}")),
    _ask("blob HEAD, miss", 0, _asking("HEAD", f"/v2/bench/blobs/{_MISSING}", 404)),
)
