"""Jobs, each in a thread of its own in every worker, at work in the one that holds its lease.

worker 1   collector ====   events ----   lifecycle ====      ==== at work
worker 2   collector ----   events ====   lifecycle ----      ---- looks whether the lease ended
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ecrate.domain.errors import AuditUnavailable, StorageFull, StoreUnavailable
from ecrate.domain.watching import Watch
from ecrate.operations.core import Core
from ecrate.operations.leases import release_lease, take_lease

_LOG: Final = logging.getLogger("ecrate")
_PAUSE_WITHOUT_STORE: Final = 30.0
_PAUSE_AFTER_FAULT: Final = 60.0
_PAUSE_BETWEEN_BATCHES: Final = 0.01
_HOUR: Final = 3600.0

# Asked between two pieces of work; False once the lease is another's or the worker ends. It renews
# the lease, so it has to be asked every half minute.
MayGoOn = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Job:
    """`run` does a batch and tells whether more waits; otherwise the next look is `every` seconds
    later. Between two batches it rests for `rest` times as long as the first one took, so that
    what is not urgent leaves room for requests. `name` is the lease's. Stopping it anywhere must
    lose nothing.
    """

    name: str
    every: float
    run: Callable[[Core, MayGoOn], bool]
    take: Callable[[Core, str, str], bool] = take_lease
    rest: float = 0.0

    def pause_after(self, seconds: float) -> float:
        """Give how long to rest after a batch that took so long."""
        return max(_PAUSE_BETWEEN_BATCHES, self.rest * seconds)


def _nobody(_: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


class Rarely:
    """Does a thing when it is first called, and then at most once an hour."""

    def __init__(self, deed: Callable[[Core], None]) -> None:
        self._deed = deed
        self._next = 0.0

    def __call__(self, core: Core) -> None:
        if core.clock() >= self._next:
            self._next = core.clock() + _HOUR
            self._deed(core)


class Background:
    """The threads of one worker's jobs."""

    def __init__(self, core: Core, jobs: Sequence[Job], watch: Watch | None = None) -> None:
        self._core = core
        self._watch = watch or _nobody
        self._jobs = jobs
        self._holder = core.new_id()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._loop, args=(job,), name=f"ecrate {job.name}")
            for job in jobs
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all jobs where they may be ended, and let others have them at once."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for job in self._jobs:
            with contextlib.suppress(StoreUnavailable, StorageFull):
                release_lease(self._core, job.name, self._holder)

    def _may_go_on(self, job: Job) -> bool:
        return not self._stop.is_set() and job.take(self._core, job.name, self._holder)

    def _run(self, job: Job, may_go_on: MayGoOn) -> bool:
        with self._watch(job.name):
            return job.run(self._core, may_go_on)

    def _loop(self, job: Job) -> None:
        may_go_on = partial(self._may_go_on, job)
        pause = job.every
        while not self._stop.wait(pause):
            pause = job.every
            began = time.monotonic()
            try:
                if may_go_on() and self._run(job, may_go_on):
                    pause = job.pause_after(time.monotonic() - began)
            except (AuditUnavailable, StoreUnavailable) as error:
                _LOG.warning("the job '%s' waits: %s", job.name, error)
                pause = _PAUSE_WITHOUT_STORE
            except Exception:  # noqa: BLE001 - work goes on whatever one batch met
                _LOG.exception("the job '%s' failed; it tries again in a minute", job.name)
                pause = _PAUSE_AFTER_FAULT
