"""What all checks work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from ecrate.operations.core import Core
from ecrate.operations.pace import Pace

PAGE: Final = 500


class Watcher(Protocol):
    """Told how far something long is."""

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step of `total` begins; `unit` says of what: `bytes`, or another word."""

    def advance(self, count: int) -> None:
        """So many more of them are done."""


@dataclass(slots=True)
class Inspection:
    """A check under way. With `repairs`, what can be mended is; without `pace`, no bytes are read.
    `counts` says how many of what were looked at.
    """

    core: Core
    watcher: Watcher
    repairs: bool = False
    pace: Pace | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def advance(self, name: str, count: int = 1) -> None:
        """Count what was looked at."""
        self.counts[name] = self.counts.get(name, 0) + count
        self.watcher.advance(count)
