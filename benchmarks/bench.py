"""One run of the benchmark: its sizes, its samples, and the comparison of two servers in turns."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.children import in_child
from benchmarks.layers import Pool
from benchmarks.report import Line
from benchmarks.servers import ECRATE, REGISTRY, Server, running

SETTLE = 0.05  # what a server does right after its answer counts as well


@dataclass
class Bench:
    """The run. `told` is what servers wrote of trouble."""

    folder: Path
    rounds: int
    is_quick: bool
    pool: Pool
    samples: list[dict[str, object]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def add(self, scenario: str, server: str, **figures: object) -> None:
        self.samples.append({"scenario": scenario, "server": server, **figures})

    def median(self, scenario: str, server: str, figure: str) -> float:
        """Give the median of a figure of the samples so far."""
        wanted = (scenario, server)
        return statistics.median(
            float(str(one[figure]))
            for one in self.samples
            if (one["scenario"], one["server"]) == wanted
        )

    @contextmanager
    def running(self, *names: str) -> Iterator[list[Server]]:
        """Run servers on empty data for a block."""
        with (
            tempfile.TemporaryDirectory(dir=self.folder) as folder,
            running(Path(folder), *names, told=self.told) as servers,
        ):
            yield servers


@dataclass(frozen=True)
class Job:
    """One sample's work: bytes, or a count of requests; `run` does it and gives the seconds.

    `run` is called in a process of its own, `check` afterwards and outside of what is measured,
    where it compares what the server has with what it was given.
    """

    work: float
    run: Callable[[], float]
    check: Callable[[], None]


@dataclass(frozen=True)
class Comparison:
    """What both servers do in turns; `target` is how many times less CPU ecrate should need.

    `prepare` fills a server once, `job` makes the work of one sample from what that gave.
    """

    name: str
    unit: str
    target: float
    prepare: Callable[[Bench, Server], Any]
    job: Callable[[Bench, Server, Any], Job]
    leaves_layers: bool = False

    def measure(self, bench: Bench) -> Iterator[Line]:
        """Measure `rounds` times each, after a round that only warms up."""
        first = len(bench.samples)
        with bench.running(ECRATE, REGISTRY) as servers:
            prepared = [self.prepare(bench, server) for server in servers]
            for number in range(bench.rounds + 1):
                for server, ready in zip(servers, prepared, strict=True):
                    job = self.job(bench, server, ready)
                    wall, cpu = measured(server, job.run)
                    if number:
                        bench.add(self.name, server.name, work=job.work, wall=wall, cpu=cpu)
                    if number == bench.rounds:
                        job.check()
                    if self.leaves_layers:
                        server.forget_layers()
        yield from self._lines(bench.samples[first:])

    def _lines(self, samples: Sequence[dict[str, Any]]) -> Iterator[Line]:
        is_bytes = self.unit == "GB"
        unit, cost = (1e9, 1.0) if is_bytes else (1.0, 1e6)
        mine, theirs = (
            [one for one in samples if one["server"] == name] for name in (ECRATE, REGISTRY)
        )
        metric = "CPU s/GB" if is_bytes else f"CPU us/{self.unit}"
        line = _line(
            self.name,
            metric,
            [one["cpu"] / one["work"] * unit * cost for one in mine],
            [one["cpu"] / one["work"] * unit * cost for one in theirs],
            is_cost=True,
        )
        if self.target:
            is_good = (line.ratio or 0) >= self.target
            line = replace(line, target=f">= {self.target:g}", is_good=is_good)
        yield line
        yield _line(
            self.name,
            "GB/s" if is_bytes else f"{self.unit}s/s",
            [one["work"] / unit / one["wall"] for one in mine],
            [one["work"] / unit / one["wall"] for one in theirs],
            is_cost=False,
        )


def _line(name: str, metric: str, mine: list[float], theirs: list[float], *, is_cost: bool) -> Line:
    better, worse = (theirs, mine) if is_cost else (mine, theirs)
    ratios = [one / other for one, other in zip(better, worse, strict=True)]
    return Line(
        name,
        metric,
        statistics.median(mine),
        statistics.median(theirs),
        statistics.median(better) / statistics.median(worse),
        spread=(min(ratios), max(ratios)),
    )


def measured(server: Server, run: Callable[[], float]) -> tuple[float, float]:
    """Run a job in a child; give its seconds and the CPU seconds of the server."""
    before = server.cpu()
    wall = in_child(run)
    time.sleep(SETTLE)
    return wall, server.cpu() - before
