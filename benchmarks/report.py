"""What is printed: one aligned line a figure, as soon as it is known."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

_WIDTHS = (36, 20, 10, 15, 7, 13, 8, 5)


@dataclass(frozen=True)
class Line:
    """A figure of both servers. `ratio` is how many times better ecrate is, above 1, or worse.

    `spread` are the lowest and the highest ratio of single rounds.
    """

    scenario: str
    metric: str
    ecrate: float | None
    registry: float | None = None
    ratio: float | None = None
    target: str = ""
    is_good: bool | None = None
    spread: tuple[float, float] | None = None

    @override
    def __str__(self) -> str:
        verdict = {True: "ok", False: "short", None: ""}[self.is_good]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        spread = "" if self.spread is None else "{:.2f} - {:.2f}".format(*self.spread)
        figures = (number(self.ecrate), number(self.registry), ratio, spread)
        return _aligned((self.scenario, self.metric, *figures, self.target, verdict))


def number(value: float | None) -> str:
    """Write three significant digits, thousands in full."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def header() -> str:
    """Give the table's first lines."""
    titles = ("scenario", "metric", "ecrate", "docker-registry", "ratio", "of rounds", "target", "")
    return f"{_aligned(titles)}\n{_aligned(['-' * width for width in _WIDTHS])}"


def _aligned(cells: Iterable[str]) -> str:
    pairs = list(zip(cells, _WIDTHS, strict=True))
    left = [f"{cell:<{width}}" for cell, width in pairs[:2]]
    right = [f"{cell:>{width}}" for cell, width in pairs[2:-1]]
    return " ".join([*left, *right, pairs[-1][0]]).rstrip()


def machine(folder: Path) -> str:
    """Give the facts a reader needs to judge the figures."""
    words = _output("docker-registry", "--version").split()
    version = words[-1] if words else "missing"
    now = dt.datetime.now(dt.UTC)
    commit = _output("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    return (
        f"{now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_cpu()}), Linux {platform.release()}, "
        f"Python {platform.python_version()}, docker-registry {version}, "
        f"ecrate {commit.strip() or '?'}, data on {filesystem(folder)}, load {load()}"
    )


def load() -> str:
    """Give the load averages: whoever else uses the machine shows in the figures."""
    return " ".join(f"{one:.1f}" for one in os.getloadavg())


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def filesystem(folder: Path) -> str:
    """Give the kind of filesystem that `folder` is on."""
    best, kind = Path("/"), "?"
    whole = folder.resolve()
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, point, name, *_ = line.split()
        if whole.is_relative_to(point) and len(point) >= len(str(best)):
            best, kind = Path(point), name
    return kind
