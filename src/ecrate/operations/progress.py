"""How far something long is."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Told how far it is, by any thread."""

    def begin(self, step: str, total: int, unit: str) -> None:
        """A step of `total` begins, 0 where nobody knows; `unit` says of what: `bytes`, or another
        word.
        """

    def advance(self, count: int) -> None:
        """So many more of them are done."""
