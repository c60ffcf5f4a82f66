"""Metrics for Prometheus: what each worker counts, in files that all of them share, added up by
whichever worker is asked.

Each is named and explained here and nowhere else; `docs/reference/metrics.md` is made of it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp.web import BaseRequest, StreamResponse

from ecrate.domain.errors import EcrateError, StorageFull, StoreUnavailable

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Histogram
    from prometheus_client.registry import Collector

# What a door notes on a request once it knows: ECR's name for the operation.
OPERATION: Final = "ecrate.operation"
# Bytes of a body that told no length.
RECEIVED: Final = "ecrate.received"
_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_STATUSES: Final = {2: "ok", 3: "ok", 4: "refused", 5: "failed"}
_THROTTLED: Final = 429


class Metrics:
    """What one server counts. Made once, before its workers are; `folder` is emptied."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        # The library looks for it when it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        from prometheus_client import CollectorRegistry, Counter, Histogram  # noqa: PLC0415

        self._registry = registry = CollectorRegistry()
        self._requests = Histogram(
            "ecrate_request_seconds",
            "Requests by door, ECR's name of the operation, and outcome: ok, refused (the client's "
            "fault), throttled, failed (ours); from the head of the request to the answer's end",
            ["door", "operation", "outcome"],
            buckets=_FAST,
            registry=registry,
        )
        self._received = Counter(
            "ecrate_received_bytes", "Bytes of request bodies", ["door"], registry=registry
        )
        self._sent = Counter("ecrate_sent_bytes", "Bytes of answers", ["door"], registry=registry)
        self._database = Histogram(
            "ecrate_database_seconds",
            "Transactions by kind (on SQLite only write: a read takes microseconds) and "
            "outcome: ok, refused (undone, for the client asked for what cannot be), failed",
            ["kind", "outcome"],
            buckets=_FAST,
            registry=registry,
        )
        self._blobs = Histogram(
            "ecrate_blobs_seconds",
            "Steps of the blob store and their outcome: ok, refused, failed",
            ["step", "outcome"],
            buckets=_FAST,
            registry=registry,
        )
        self._jobs = Histogram(
            "ecrate_job_seconds",
            "Rounds of background work by job and outcome: ok, refused, failed",
            ["job", "outcome"],
            buckets=_FAST,
            registry=registry,
        )
        # Finding a child by its labels costs more than to count.
        self._children: dict[tuple[str, str, str], Histogram] = {}
        self._folder = folder

    def count_request(
        self, door: str, request: BaseRequest, response: StreamResponse, begun: float
    ) -> None:
        """Count a request that has its answer; `begun` is its `time.perf_counter()`."""
        status = response.status
        outcome = _STATUSES.get(status // 100, "ok")
        if status == _THROTTLED or "Throttling" in response.headers.get("x-amzn-ErrorType", ""):
            outcome = "throttled"
        key = (door, request.get(OPERATION, "none"), outcome)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(*key)
        child.observe(time.perf_counter() - begun)
        received = request.get(RECEIVED) or request.content_length
        if received:
            self._received.labels(door).inc(received)
        if request.method != "HEAD" and response.content_length:
            self._sent.labels(door).inc(response.content_length)

    @contextmanager
    def watch_database(self, what: str) -> Iterator[None]:
        """Watch a transaction: see `domain.watching`."""
        with _timed(self._database, what):
            yield

    @contextmanager
    def watch_blobs(self, what: str) -> Iterator[None]:
        """Watch a step of the blob store."""
        with _timed(self._blobs, what):
            yield

    @contextmanager
    def watch_job(self, what: str) -> Iterator[None]:
        """Watch a round of background work."""
        with _timed(self._jobs, what):
            yield

    def render(self, state: Collector) -> bytes:
        """Give what all workers have counted, and the state of what they share, as text."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self._folder))  # type: ignore[no-untyped-call]
        registry.register(state)
        return generate_latest(registry)

    def describe(self) -> CollectorRegistry:
        """Give the registry in which all that is counted has its name and text."""
        return self._registry


@contextmanager
def _timed(histogram: Histogram, what: str) -> Iterator[None]:
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
        histogram.labels(what, outcome).observe(time.perf_counter() - begun)
