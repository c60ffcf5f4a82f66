"""What a worker counts, and how that of all workers is added up.

Each counts for itself, in lists of numbers, and writes them to a file of its own four times a
second while they change: 1 us a request, where Prometheus' library with its shared maps takes 15.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from aiohttp.web import BaseRequest, RequestKey, StreamResponse

from ecrate.domain.errors import EcrateError, StorageFull, StoreUnavailable

# What a door notes on a request once it knows: ECR's name for the operation.
OPERATION: Final = RequestKey("ecrate.operation", str)
# Bytes of a body that told no length.
RECEIVED: Final = RequestKey("ecrate.received", int)
# Upper bounds in seconds; a list of numbers has one for each, one for what took longer, the sum.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10, 60)
HISTOGRAMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "ecrate_request_seconds": (
        "Requests by outcome: ok, refused (the client's fault), throttled, failed (ours)",
        ("door", "operation", "outcome"),
    ),
    "ecrate_database_seconds": (
        "Transactions (on SQLite only writes) by outcome: ok, refused (undone), failed",
        ("kind", "outcome"),
    ),
    "ecrate_blobs_seconds": (
        "Steps of the blob store by outcome: ok, refused, failed",
        ("step", "outcome"),
    ),
    "ecrate_job_seconds": (
        "Rounds of background work by outcome: ok, refused, failed",
        ("job", "outcome"),
    ),
}
COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "ecrate_received_bytes": ("Bytes of request bodies", ("door",)),
    "ecrate_sent_bytes": ("Bytes of answers", ("door",)),
}
_FLUSH_EVERY: Final = 0.25
_STATUSES: Final = {2: "ok", 3: "ok", 4: "refused", 5: "failed"}
_THROTTLED: Final = 429
_SIZE: Final = len(BOUNDS) + 2

# By metric, then by its labels' values, put together with line feeds.
Counts = dict[str, dict[str, list[float]]]


class Metrics:
    """What one server counts. Made once, before its workers are; `folder` is emptied."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        self._folder = folder
        self._name = ""
        self._lock = threading.Lock()
        self._counts: Counts = {name: {} for name in (*HISTOGRAMS, *COUNTERS)}
        self._requests = self._counts["ecrate_request_seconds"]
        self._received = self._counts["ecrate_received_bytes"]
        self._sent = self._counts["ecrate_sent_bytes"]
        self._is_changed = False
        # Each is a watch: see `domain.watching`.
        self.watch_database = partial(self._timed, "ecrate_database_seconds")
        self.watch_blobs = partial(self._timed, "ecrate_blobs_seconds")
        self.watch_job = partial(self._timed, "ecrate_job_seconds")

    def begin(self, name: str) -> None:
        """Be the metrics of one worker from here on; `name` is its own, never used again."""
        self._name = name

    async def keep_flushing(self) -> None:
        """Write the worker's counts while they change, until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_EVERY)
            self.flush()

    def flush(self) -> None:
        """Let the other workers see what this one has counted."""
        if not self._is_changed:
            return
        self._is_changed = False
        with self._lock:
            content = msgspec.json.encode(self._counts)
        new = self._folder / f"{self._name}.new"
        new.write_bytes(content)
        new.rename(self._folder / f"{self._name}.json")

    def read_all(self) -> Counts:
        """Give what all workers, those that have ended too, have counted together."""
        self.flush()
        total: Counts = {name: {} for name in self._counts}
        for path in self._folder.glob("*.json"):
            for name, rows in msgspec.json.decode(path.read_bytes(), type=Counts).items():
                into = total[name]
                for labels, numbers in rows.items():
                    before = into.get(labels)
                    into[labels] = numbers if before is None else _sum(before, numbers)
        return total

    def count_request(
        self, door: str, request: BaseRequest, response: StreamResponse, begun: float
    ) -> None:
        """Count a request that has its answer; `begun` is its `time.perf_counter()`. The loop's
        thread is the only one to do so.
        """
        status = response.status
        outcome = _STATUSES.get(status // 100, "ok")
        if outcome == "refused" and (
            status == _THROTTLED or "Throttling" in response.headers.get("x-amzn-ErrorType", "")
        ):
            outcome = "throttled"
        seconds = time.perf_counter() - begun
        key = f"{door}\n{request.get(OPERATION, 'none')}\n{outcome}"
        row = self._requests.get(key) or self._requests.setdefault(key, [0.0] * _SIZE)
        row[bisect_left(BOUNDS, seconds)] += 1
        row[-1] += seconds
        received = request.get(RECEIVED) or request.content_length
        if received:
            self._received.setdefault(door, [0.0])[0] += received
        if request.method != "HEAD" and (sent := response.content_length):
            self._sent.setdefault(door, [0.0])[0] += sent
        self._is_changed = True

    @contextmanager
    def _timed(self, name: str, what: str) -> Iterator[None]:
        begun, outcome = time.perf_counter(), "ok"
        try:
            yield
        except (StoreUnavailable, StorageFull):
            outcome = "failed"
            raise
        except (EcrateError, FileNotFoundError):
            outcome = "refused"
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            seconds = time.perf_counter() - begun
            with self._lock:
                row = self._counts[name].setdefault(f"{what}\n{outcome}", [0.0] * _SIZE)
                row[bisect_left(BOUNDS, seconds)] += 1
                row[-1] += seconds
            self._is_changed = True


def _sum(one: list[float], other: list[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]
