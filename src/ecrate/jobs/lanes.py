"""Work in lanes, done by a few threads: no owner's slowness is another's."""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from ecrate.domain.lanes import Failure, Lane
from ecrate.jobs.background import MayGoOn
from ecrate.operations.core import Core
from ecrate.operations.lanes import Work, settle_task, take_due_lanes

_LOG: Final = logging.getLogger("ecrate")
_LOOK_EVERY: Final = 0.5
_FAULT: Final = Failure("it failed for no reason that was foreseen; the server's log has it")


class Lanes:
    """The lanes of one kind of work, `threads` at once and `each` of one owner."""

    def __init__(self, core: Core, work: Work, *, threads: int, each: int) -> None:
        self._core = core
        self._work = work
        self._threads = threads
        self._each = each
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"ecrate {work.name}")
        self._under_way: dict[Future[Failure | None], Lane] = {}

    def run(self, may_go_on: MayGoOn) -> None:
        """Do all that is due, and what becomes due meanwhile."""
        with self._pool:
            try:
                while may_go_on() and self._begin():
                    done, _ = wait(
                        self._under_way, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED
                    )
                    for one in done:
                        settle_task(self._core, self._work, self._under_way.pop(one), one.result())
            finally:
                # What is broken off is tried again by whoever goes on.
                self._work.close()

    def _begin(self) -> bool:
        """Begin what there is room for; tell whether anything is under way."""
        self._work.feed()
        counts = Counter(lane.owner for lane in self._under_way.values())
        busy = {lane.id for lane in self._under_way.values()}
        while len(self._under_way) < self._threads:
            full = [owner for owner, count in counts.items() if count >= self._each]
            found = take_due_lanes(
                self._core, self._work.name, self._threads, busy=busy, without=full
            )
            if not found:
                break
            for lane in found[: self._threads - len(self._under_way)]:
                if counts[lane.owner] < self._each:
                    counts[lane.owner] += 1
                    busy.add(lane.id)
                    self._under_way[self._pool.submit(self._do, lane)] = lane
        return bool(self._under_way)

    def _do(self, lane: Lane) -> Failure | None:
        try:
            return self._work.do(lane)
        except Exception:  # noqa: BLE001 - the other lanes go on whatever one of them met
            _LOG.exception("the work '%s' failed for %s", self._work.name, lane.key)
            return _FAULT
