"""Measurements that are ecrate's own: memory, start, durable image writes.

docker-registry stands beside it where it does the same thing.
"""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.children import Child, in_child
from benchmarks.layers import MIB, Layer
from benchmarks.load import drive, push_all, verify
from benchmarks.parts import PART, Part, complete, push_parts, start_upload
from benchmarks.report import Line
from benchmarks.scenarios import manifest_of, push_image, read_manifest
from benchmarks.servers import ECRATE, REGISTRY, STARTERS, Server
from benchmarks.signing import signed_request

_SAMPLE_EVERY = 0.05
_START_TARGET = 1.5


def measure_memory(bench: Bench) -> Iterator[Line]:
    """Peaks of the whole server: RSS counts shared pages in each process, PSS once."""
    size = (256 if bench.is_quick else 1024) * MIB
    for in_chunks in (False, True):
        peaks = {}
        name = f"memory, push {size // MIB:,} MiB x 4" + (", as docker" if in_chunks else "")
        for kind in (ECRATE, REGISTRY):
            with bench.running(kind) as (server,):
                layers = [bench.pool.new(size) for _ in range(4)]
                lanes = [[layer] for layer in layers]
                run = partial(push_all, server, bench.pool, lanes, in_chunks=in_chunks)
                peaks[kind] = _peak(bench, name, server, run)
                verify(server, layers[-1])
        yield from _memory_lines(name, peaks, 200)
    yield from _memory_of_parts(bench)


def _memory_of_parts(bench: Bench) -> Iterator[Line]:
    name, waves = "memory, 16 UploadLayerPart of 20 MiB", 1 if bench.is_quick else 3
    part = Part()
    with bench.running(ECRATE) as (server,):
        uploads = [start_upload(server) for _ in range(16)]
        peak = _peak(bench, name, server, partial(push_parts, server, part, uploads, waves))
        digest = complete(server, uploads[0], part.digest(waves))
        verify(server, Layer(waves * PART, b"", digest))
    yield from _memory_lines(name, {ECRATE: peak}, 300)


def _peak(bench: Bench, name: str, server: Server, run: Callable[[], float]) -> tuple[float, float]:
    """Give the highest RSS and PSS in MiB, each for itself, while a job runs."""
    samples = [server.memory()]
    with Child(run) as child:
        while not child.is_done(within=_SAMPLE_EVERY):
            samples.append(server.memory())
        child.result()
    samples.append(server.memory())
    bench.add(name, server.name, memory=samples, every=_SAMPLE_EVERY)
    return max(rss for rss, _ in samples) / MIB, max(pss for _, pss in samples) / MIB


def _memory_lines(name: str, peaks: dict[str, tuple[float, float]], target: int) -> Iterator[Line]:
    for index, metric in enumerate(("peak RSS, MiB", "peak PSS, MiB")):
        mine = peaks[ECRATE][index]
        theirs = peaks[REGISTRY][index] if REGISTRY in peaks else None
        ratio = None if theirs is None else theirs / mine
        yield Line(name, metric, mine, theirs, ratio, f"< {target}", mine < target)


def measure_start(bench: Bench) -> Iterator[Line]:
    """From exec to the first answer 200, polled every 5 ms."""
    name = {True: "start, no data yet", False: "start, data there"}
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        for number in range(max(3, bench.rounds)):
            for kind, is_first in itertools.product((ECRATE, REGISTRY), (True, False)):
                server = STARTERS[kind](Path(folder) / str(number))
                try:
                    bench.add(name[is_first], kind, wall=server.start_seconds, cpu=server.cpu())
                finally:
                    server.stop()
    for title in name.values():
        for figure, metric in (("wall", "s to the first 200"), ("cpu", "CPU s")):
            mine, theirs = (bench.median(title, kind, figure) for kind in (ECRATE, REGISTRY))
            line = Line(title, metric, mine, theirs, theirs / mine)
            if figure == "wall":
                is_good = mine < _START_TARGET
                line = replace(line, target=f"< {_START_TARGET}", is_good=is_good)
            yield line


def measure_images(bench: Bench) -> Iterator[Line]:
    """Durable PutImage, 16 clients, beside the single commits SQLite manages on this disk."""
    name, count = "PutImage, 16 clients", 320 if bench.is_quick else 1600
    commits: list[float] = []
    rates: list[float] = []
    costs: list[float] = []
    latencies: list[float] = []
    with bench.running(ECRATE) as (server,):
        layer, _ = push_image(server, bench.pool, "v1")
        for number in range(bench.rounds + 1):
            commits.append(_commits_per_second(server.data.parent / f"commits-{number}.db"))
            times: list[float] = []
            wall, cpu = _put_images(server, layer, number, count, times)
            if number:
                rates.append(count / wall)
                costs.append(cpu / count * 1e6)
                latencies += times
                bench.add(name, ECRATE, work=count, wall=wall, cpu=cpu, commits=commits[-1])
        tag = f"r{bench.rounds}-7"
        if read_manifest(server, tag) != _manifest(layer, bench.rounds, 7):
            raise RuntimeError(f"ecrate gave another manifest than {tag}")
    ranks = statistics.quantiles(latencies, n=100)
    yield Line(name, "requests/s", statistics.median(rates))
    yield Line(name, "CPU us/request", statistics.median(costs))
    yield Line(name, "p50, ms", ranks[49] * 1e3)
    yield Line(name, "p99, ms", ranks[98] * 1e3)
    yield Line("SQLite, a row a commit, same disk", "commits/s", statistics.median(commits[1:]))


def _put_images(
    server: Server, layer: Layer, number: int, count: int, times: list[float]
) -> tuple[float, float]:
    def requests() -> list[bytes]:
        return [
            signed_request(
                server.port,
                server.key,
                "PutImage",
                {
                    "repositoryName": "bench",
                    "imageManifest": _manifest(layer, number, one).decode(),
                    "imageTag": f"r{number}-{one}",
                },
            )
            for one in range(count)
        ]

    def run() -> tuple[float, list[float]]:
        done = drive(server, requests(), 16)
        return done.seconds, done.latencies

    before = server.cpu()
    wall, latencies = in_child(run)
    times += latencies
    return wall, server.cpu() - before


def _manifest(layer: Layer, number: int, one: int) -> bytes:
    return manifest_of(layer, [layer], note=f"{number}-{one}")


def _commits_per_second(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        began, count = time.perf_counter(), 500
        for _ in range(count):
            connection.execute("INSERT INTO t (b) VALUES (?)", ("x" * 200,))
        return count / (time.perf_counter() - began)
    finally:
        connection.close()
