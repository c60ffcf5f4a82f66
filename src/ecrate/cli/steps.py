"""How far something long is, step by step: a bar for each on a terminal, nothing elsewhere."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecrate.operations.progress import Watcher


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about what is printed."""
    parser.add_argument("--quiet", "-q", action="store_true", help="print no progress")
    parser.add_argument("--json", action="store_true", help="print JSON")


@contextmanager
def open_steps(*, quiet: bool = False) -> Iterator[Watcher]:
    """Give bars on a terminal unless `quiet`; they go to standard error."""
    if quiet or not sys.stderr.isatty():
        yield NoSteps()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:28}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield BarSteps(bars)


class NoSteps:
    """Nobody watches."""

    def begin(self, step: str, total: int, unit: str) -> None:
        """Print nothing."""

    def advance(self, count: int) -> None:
        """Print nothing."""


class BarSteps:
    """A bar for the step under way; those done are taken away."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._task: Any = None
        self._unit = ""
        self._count = 0
        self._total = 0

    def begin(self, step: str, total: int, unit: str) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._unit, self._count, self._total = unit, 0, total
        self._task = self._bars.add_task(step, total=total or None, done="")

    def advance(self, count: int) -> None:
        with self._lock:
            self._count += count
            self._bars.update(self._task, completed=self._count, done=self._done())

    def _done(self) -> str:
        from ecrate.cli.progress import human_size

        if self._unit == "bytes":
            return f"{human_size(self._count)} of {human_size(self._total)}"
        return f"{self._count} {'of ' if self._total else ''}{self._total or ''} {self._unit}"
