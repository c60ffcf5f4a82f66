"""`/metrics`: what all workers have counted, and the state of what they share."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.domain.errors import StoreUnavailable
from ecrate.domain.state import State
from ecrate.operations.core import Core
from ecrate.operations.state import describe_state
from ecrate.web.metrics import BOUNDS, COUNTERS, HISTOGRAMS, Counts, Metrics
from ecrate.web.threads import Threads

if TYPE_CHECKING:
    from prometheus_client import Metric

_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PROXIED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Via")
# Names and texts; a sample without labels has one value of `State`.
GAUGES: Final = (
    ("ecrate_repositories", "Repositories of all registries"),
    ("ecrate_uploads_open", "Uploads that are not completed"),
    ("ecrate_uploads_stale", "Uploads that nobody goes on with: ended by the collector next"),
    ("ecrate_layers_in_grace", "Layers that no image needs, in their grace period"),
    ("ecrate_layers_lapsed", "Layers that no image needs: unlinked by the collector next"),
    ("ecrate_blobs_unlinked", "Blobs that have lost a link: looked at by the collector next"),
    ("ecrate_quarantine_files", "Files in quarantine before they are deleted"),
    ("ecrate_quarantine_bytes", "Bytes in quarantine before they are deleted"),
    ("ecrate_events_unpublished", "Events in the outbox"),
)
LEASES: Final = (
    "ecrate_lease_seconds",
    "Seconds that the lease on a background work still has; negative: nobody does it",
    ("job",),
)
UP: Final = ("ecrate_database_up", "1 where the database answers, else 0")
_OF_REPOSITORY: Final = ("account", "region", "repository")
BY_REPOSITORY: Final = (
    ("ecrate_repository_images", "Images of a repository", _OF_REPOSITORY),
    ("ecrate_repository_bytes", "Bytes of a repository's layers, shared ones too", _OF_REPOSITORY),
)


class Scrape:
    """Answers `/metrics`; to whoever asks from this machine, unless `is_open`."""

    def __init__(
        self, core: Core, metrics: Metrics, threads: Threads, *, is_open: bool, by_repository: bool
    ) -> None:
        self._core = core
        self._metrics = metrics
        self._threads = threads
        self._is_open = is_open
        self._by_repository = by_repository

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        if request.method != "GET":
            return Response(status=405, headers={"Allow": "GET"})
        if not self._is_open and not _is_local(request):
            return Response(status=403, text="Metrics are for this machine (setting 'metrics').\n")
        body = await self._threads.run(self._render)
        return Response(body=body, headers={"Content-Type": _TYPE})

    def _render(self) -> bytes:
        # Imported when it is first needed: 60 ms that no start has to wait for.
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Give all metrics; the library calls it."""
        yield from _counted(self._metrics.read_all())
        yield from self._state()

    def _state(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

        try:
            state = describe_state(self._core, by_repository=self._by_repository)
        except StoreUnavailable:
            yield GaugeMetricFamily(*UP, value=0)
            return
        yield GaugeMetricFamily(*UP, value=1)
        for (name, text), value in zip(GAUGES, _values(state), strict=True):
            yield GaugeMetricFamily(name, text, value=value)
        name, text, labels = LEASES
        leases = GaugeMetricFamily(name, text, labels=labels)
        for name, left in state.leases:
            leases.add_metric([name], left)
        yield leases
        if self._by_repository:
            images, size = (
                GaugeMetricFamily(name, text, labels=labels) for name, text, labels in BY_REPOSITORY
            )
            for one in state.by_repository:
                place = [one.ref.registry.id, one.ref.registry.region, one.ref.name]
                images.add_metric(place, one.images)
                size.add_metric(place, one.bytes)
            yield images
            yield size


def _counted(counts: Counts) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily  # noqa: PLC0415

    for name, (text, labels) in HISTOGRAMS.items():
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for key, (*numbers, total) in sorted(counts[name].items()):
            bounds = [*map(str, BOUNDS), "+Inf"]
            buckets = list(zip(bounds, accumulate(numbers), strict=True))
            histogram.add_metric(key.split("\n"), buckets, total)
        yield histogram
    for name, (text, labels) in COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=labels)
        for key, (number,) in sorted(counts[name].items()):
            counter.add_metric(key.split("\n"), number)
        yield counter


def _values(state: State) -> tuple[int, ...]:
    return (
        state.repositories,
        state.uploads.open,
        state.uploads.idle,
        state.links.in_grace,
        state.links.lapsed,
        state.unlinked_blobs,
        state.quarantine.files,
        state.quarantine.bytes,
        state.unpublished,
    )


def _is_local(request: BaseRequest) -> bool:
    if any(name in request.headers for name in _PROXIED):
        return False
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
