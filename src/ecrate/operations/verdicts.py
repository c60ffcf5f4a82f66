"""What is known of signatures: who they are by, so that no pull checks them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who has signed, None for nobody who is trusted, and until when that is known."""

    signer: str | None
    until: float


class Verdicts:
    """By signature and by who is trusted; the ones used longest ago are dropped first.

    What was signed never changes, so an entry cannot be wrong before its time.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, str], Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int, str], now: float) -> Verdict | None:
        with self._lock:
            found = self._known.get(key)
            if found is None or now >= found.until:
                return None
            self._known.move_to_end(key)
            return found

    def put(self, key: tuple[int, int, str], verdict: Verdict) -> None:
        with self._lock:
            self._known[key] = verdict
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
