"""Watches how far something long is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Steps:
    """Notes which steps begin, and what was told to be done of the last."""

    begun: list[str] = field(default_factory=list)
    done: int = 0

    def begin(self, step: str, total: int, unit: str) -> None:
        self.begun.append(f"{step} of {total} {unit}")
        self.done = 0

    def advance(self, count: int) -> None:
        self.done += count
