"""How far the layers are: a bar for each on a terminal, else a line for each when it is done.

Both go to standard error, so that standard output has the result only.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Progress(Protocol):
    """Told by several threads at once. A layer is known by its digest or name."""

    def start(self, layer: str, doing: str, total: int) -> None:
        """Begin something with a layer of `total` bytes; what was begun before is over."""

    def advance(self, layer: str, count: int) -> None:
        """Tell of more bytes; negative when some have to be done again."""

    def finish(self, layer: str, result: str, detail: str = "") -> None:
        """Tell how it ended; `detail` is for logs."""

    def tell(self, text: str) -> None:
        """Print a line."""


@contextmanager
def open_progress(*, quiet: bool = False, has_lines: bool = True) -> Iterator[Progress]:
    """Give bars on a terminal, lines elsewhere if it `has_lines`, and nothing if `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield LineProgress(quiet=quiet or not has_lines)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    columns = (
        TextColumn("{task.description:12}"),
        TextColumn("{task.fields[doing]:13}"),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True, table_column=Column(no_wrap=True)),
        TransferSpeedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield BarProgress(bars)


class LineProgress:
    """Lines for logs and pipes."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()

    def start(self, layer: str, doing: str, total: int) -> None:
        """Print nothing: the end is what counts in a log."""

    def advance(self, layer: str, count: int) -> None:
        """Print nothing."""

    def finish(self, layer: str, result: str, detail: str = "") -> None:
        self.tell(f"layer {layer} {result}{f', {detail}' if detail else ''}")

    def tell(self, text: str) -> None:
        if not self._quiet:
            with self._lock:
                print(text, file=sys.stderr, flush=True)


class BarProgress:
    """A bar for each layer, under its short digest."""

    def __init__(self, bars: Any) -> None:
        self._bars = bars
        self._tasks: dict[str, Any] = {}
        self._lock = threading.Lock()

    def start(self, layer: str, doing: str, total: int) -> None:
        with self._lock:
            task = self._tasks.get(layer)
            if task is None:
                self._tasks[layer] = self._bars.add_task(_short(layer), total=total, doing=doing)
            else:
                self._bars.reset(task, total=total, doing=doing)

    def advance(self, layer: str, count: int) -> None:
        self._bars.advance(self._tasks[layer], count)

    def finish(self, layer: str, result: str, detail: str = "") -> None:  # noqa: ARG002 - the bar has it
        with self._lock:
            task = self._tasks.get(layer)
            if task is None:
                task = self._bars.add_task(_short(layer), total=1, completed=1, doing=result)
                self._tasks[layer] = task
            total = next(each.total for each in self._bars.tasks if each.id == task)
            self._bars.update(task, completed=total, doing=result)

    def tell(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


def human_size(count: int) -> str:
    """Give a size as people read it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":  # noqa: PLR2004 - the step between units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError  # the last unit always returns


def _short(layer: str) -> str:
    return layer.rpartition(":")[2][:12] if layer.startswith("sha") else layer[-12:]
