"""Measurements of ecrate alone: memory, start, layer parts, durable image writes."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import statistics
import tempfile
import time
from base64 import b64encode
from functools import partial
from pathlib import Path

import msgspec
import pybase64

from benchmarks.load import MIB, Blob, at_once, push
from benchmarks.servers import PeakMemory, Server, client_of, start_ecrate, start_registry

PART = 20 * MIB


def measure_memory(folder: Path) -> list[str]:
    """Peaks of the whole server, RSS with shared pages counted in each process, PSS once."""
    lines = []
    blobs = [Blob(1024 * MIB) for _ in range(4)]
    for start in (start_ecrate, start_registry):
        server = start(folder)
        try:
            with PeakMemory(server) as peak:
                at_once([partial(push, server, one) for one in blobs])
            lines.append(_memory_line(server, "push 1 GiB x 4", peak, 200))
        finally:
            server.stop()
    del blobs
    server = start_ecrate(folder / "parts")
    try:
        with PeakMemory(server) as peak:
            at_once([partial(upload_parts, server, 2)] * 16)
        lines.append(_memory_line(server, "16 UploadLayerPart of 20 MiB", peak, 300))
    finally:
        server.stop()
    return lines


def _memory_line(server: Server, what: str, peak: PeakMemory, target: int) -> str:
    rss, pss = peak.rss / MIB, peak.pss / MIB
    verdict = "ok" if rss < target else "short"
    return (
        f"{what:32s} {server.name:16s} peak RSS {rss:6.0f} MiB, PSS {pss:6.0f} MiB"
        f"   (ecrate's target: RSS under {target} MiB, {verdict})"
    )


def upload_parts(server: Server, count: int) -> None:
    """Send parts of 20 MiB through boto3."""
    ecr = client_of(server)
    upload = ecr.initiate_layer_upload(repositoryName="bench")["uploadId"]
    blob = os.urandom(PART)
    for number in range(count):
        ecr.upload_layer_part(
            repositoryName="bench",
            uploadId=upload,
            partFirstByte=number * PART,
            partLastByte=(number + 1) * PART - 1,
            layerPartBlob=blob,
        )


def measure_start(folder: Path) -> list[str]:
    lines = []
    for start in (start_ecrate, start_registry):
        seconds = []
        for number in range(5):
            with tempfile.TemporaryDirectory(dir=folder, prefix=str(number)) as one:
                server = start(Path(one))
                seconds.append(server.start_seconds)
                server.stop()
        lines.append(
            f"{'start to first answer':32s} {server.name:16s} median "
            f"{statistics.median(seconds):.2f} s, first starts, data made anew"
        )
    return lines


def measure_parts(folder: Path) -> list[str]:
    """CPU of UploadLayerPart per GB of layer, and the steps it is made of."""
    server = start_ecrate(folder / "cpu")
    try:
        upload_parts(server, 1)
        before = server.cpu()
        upload_parts(server, 20)
        spent = (server.cpu() - before) / (20 * PART / 1e9)
    finally:
        server.stop()
    blob = os.urandom(PART)
    body = json.dumps({"layerPartBlob": b64encode(blob).decode()}).encode()
    raw = bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["layerPartBlob"])
    steps = {
        "JSON, leaving the part alone": lambda: msgspec.json.decode(
            body, type=dict[str, msgspec.Raw]
        ),
        "base64": lambda: pybase64.b64decode(raw[1:-1], validate=True),
        "SHA-256 of the body (SigV4)": lambda: hashlib.sha256(body).digest(),
        "SHA-256 of the layer": lambda: hashlib.sha256(blob).digest(),
        "write and fdatasync": lambda: _write(folder / "part", blob),
    }
    lines = [f"UploadLayerPart 20 MiB, boto3: {spent:.2f} CPU s/GB of layer, of which by itself"]
    for name, step in steps.items():
        before = time.process_time()
        for _ in range(5):
            step()
        cost = (time.process_time() - before) / (5 * PART / 1e9)
        lines.append(f"  {name:36s} {cost:5.2f}")
    return lines


def _write(path: Path, blob: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(blob)
        os.fdatasync(file.fileno())


def measure_writes(folder: Path) -> list[str]:
    """Durable PutImage, 16 clients, beside the single commits SQLite manages on this disk."""
    commits = _commits_per_second(folder / "commits.db")
    server = start_ecrate(folder / "writes")
    try:
        config = Blob(100)
        push(server, config)
        times: list[float] = []

        def client(number: int) -> None:
            ecr = client_of(server)
            for count in range(50):
                manifest = json.dumps(_manifest(config, f"{number}-{count}"))
                began = time.perf_counter()
                ecr.put_image(repositoryName="bench", imageManifest=manifest)
                times.append(time.perf_counter() - began)

        before, began = server.cpu(), time.perf_counter()
        at_once([partial(client, number) for number in range(16)])
        wall, spent = time.perf_counter() - began, server.cpu() - before
    finally:
        server.stop()
    times.sort()
    return [
        f"PutImage, durable, 16 clients: {len(times) / wall:.0f}/s (the load shares the cores)",
        f"  {spent / len(times) * 1e6:.0f} us CPU each",
        f"  p50 {times[len(times) // 2] * 1e3:.0f} ms",
        f"  p99 {times[len(times) * 99 // 100] * 1e3:.0f} ms",
        f"SQLite's single commits on this disk: {commits:.0f}/s",
    ]


def _manifest(config: Blob, note: str) -> dict[str, object]:
    media_type = "application/vnd.oci.image.config.v1+json"
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": media_type, "digest": config.digest, "size": config.size},
        "layers": [],
        "annotations": {"note": note},
    }


def _commits_per_second(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    began, count = time.perf_counter(), 1000
    for _ in range(count):
        connection.execute("INSERT INTO t (b) VALUES ('x')")
    wall = time.perf_counter() - began
    connection.close()
    return count / wall
