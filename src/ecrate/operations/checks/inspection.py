"""What all checks work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ecrate.operations.core import Core
from ecrate.operations.pace import Pace
from ecrate.operations.progress import Watcher

PAGE: Final = 500


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
