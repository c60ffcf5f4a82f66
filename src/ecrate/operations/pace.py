"""How fast bytes are read in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Keeps to `rate` bytes a second, without one to no rate at all."""

    def __init__(
        self,
        rate: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        self._lock = threading.Lock()

    def spend(self, count: int) -> None:
        """Return when the next bytes may be read after these, which any thread may have read; time
        that was not used is lost.
        """
        if self._rate is None:
            return
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now) + count / self._rate
            wait = self._free_at - now
        self._sleep(wait)
