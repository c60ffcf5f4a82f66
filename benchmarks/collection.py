"""`python -m benchmarks.collection`: how fast the collector works, and whom it keeps waiting.

Layers that nothing needs any more, each a file of 1 KiB, go the whole way: their links lapse, their
rows become garbage, their files are deleted. Meanwhile another process commits one small write
after another; before that it does so alone.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from typing_extensions import override

from benchmarks.children import Child
from ecrate.jobs.all_jobs import COLLECTOR_RESTS
from ecrate.jobs.background import Job
from ecrate.operations.collection import LEASE, Collected, collect, take_collector_lease
from ecrate.operations.core import Limits
from ecrate.store.database import Database, Transaction
from ecrate.store.sqlite import SqliteDatabase
from tests.support.core import Bench, InterruptedDatabase

SIZE = 1024
AN_HOUR = 1_000_000
ALONE = 2.0
WRITES_EVERY = 0.002


class TimedDatabase(InterruptedDatabase):
    """Notes for how many seconds each write keeps other writers out."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner)
        self.held: list[float] = []

    @override
    def write(self) -> AbstractContextManager[Transaction]:
        return self._timed(super().write())

    @contextlib.contextmanager
    def _timed(self, block: AbstractContextManager[Transaction]) -> Iterator[Transaction]:
        began = time.perf_counter()
        try:
            with block as transaction:
                began = time.perf_counter()
                yield transaction
        finally:
            self.held.append(time.perf_counter() - began)


def fill(bench: Bench, count: int) -> None:
    """Store so many layers whose grace period is over in a repository."""
    bench.create("one")
    keys = [str(uuid.uuid4()) for _ in range(count)]
    for key in keys:
        folder = bench.folder / "blobs" / key[:2]
        folder.mkdir(exist_ok=True)
        (folder / key).write_bytes(bytes(SIZE))
    with bench.writing() as tx:
        tx.many(
            "INSERT INTO blobs (id, digest, key, size, stored_at) VALUES (?, ?, ?, ?, 0)",
            ((one, f"sha256:{one:064x}", key, SIZE) for one, key in enumerate(keys, 1)),
        )
        tx.many(
            "INSERT INTO layers (repository_id, blob_id, touched_at) VALUES (1, ?, 0)",
            ((one,) for one in range(1, count + 1)),
        )


def work(bench: Bench) -> tuple[float, int]:
    """Collect as the server does until nothing is left; give the seconds and the files."""
    began, files = time.perf_counter(), 0
    job = Job(LEASE, 0.0, lambda *_: False, rest=COLLECTOR_RESTS)
    while take_collector_lease(bench.core, "benchmark"):
        start = time.perf_counter()
        collected = collect(bench.core)
        files += collected.files
        if collected == Collected():
            break
        time.sleep(job.pause_after(time.perf_counter() - start))
    return time.perf_counter() - began, files


def write(path: Path, seconds: float) -> Sequence[float]:
    """Commit one write after another; give how long each took."""
    database, taken = SqliteDatabase(path), []
    end = time.perf_counter() + seconds
    with contextlib.closing(database):
        while (began := time.perf_counter()) < end:
            with database.write() as tx:
                tx.run("UPDATE repositories SET created_at = created_at + 1")
            taken.append(time.perf_counter() - began)
            time.sleep(WRITES_EVERY)
    return taken


def told(taken: Sequence[float]) -> str:
    """Give median, 99th percentile and the longest, in milliseconds."""
    ninety_ninth = statistics.quantiles(taken, n=100)[98]
    figures = (statistics.median(taken), ninety_ninth, max(taken))
    return "p50 {:.1f} ms, p99 {:.1f} ms, longest {:.1f} ms".format(
        *(1000 * one for one in figures)
    )


def main() -> int:
    """Measure; 1 if it is slower than it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.collection", description=__doc__)
    parser.add_argument("--blobs", type=int, default=20_000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        contextlib.closing(
            Bench(Path(folder), options={"limits": Limits(quarantine=0)}, engine=TimedDatabase)
        ) as bench,
    ):
        fill(bench, options.blobs)
        assert isinstance(bench.database, TimedDatabase)
        held = bench.database.held
        path = bench.folder / "ecrate.db"
        alone = write(path, ALONE)
        held.clear()
        with Child(lambda: write(path, ALONE)) as writer:
            seconds, files = work(bench)
            beside = writer.result()
    rate = files / seconds * 3600
    print(f"collected {files:,} blobs with files of {SIZE} bytes in {seconds:.2f} s")
    print(
        f"that is {rate:,.0f} an hour; target {AN_HOUR:,}: {'ok' if rate >= AN_HOUR else 'short'}"
    )
    print(f"its writes keep others out:   {told(held)}")
    print(f"a write alone:                {told(alone)}")
    print(f"a write beside the collector: {told(beside)}")
    return 0 if rate >= AN_HOUR else 1


if __name__ == "__main__":
    sys.exit(main())
