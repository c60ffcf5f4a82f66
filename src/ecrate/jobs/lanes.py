"""Work in lanes, done by a few threads: no owner's slowness is another's."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from ecrate.domain.lanes import Failure, Lane
from ecrate.jobs.background import MayGoOn
from ecrate.operations.core import Core
from ecrate.operations.lanes import Work, settle_task, take_due_lanes

_LOG: Final = logging.getLogger("ecrate")
_LOOK_EVERY: Final = 0.5
_FAULT: Final = Failure("it failed for no reason that was foreseen; the server's log has it")


def run_lanes(
    core: Core, may_go_on: MayGoOn, make: Callable[[], Work], *, threads: int, each: int
) -> None:
    """Do all that is due, and what becomes due meanwhile, with up to `threads` lanes at once and
    `each` of one owner.
    """
    work = make()
    under_way: dict[Future[Failure | None], Lane] = {}
    with ThreadPoolExecutor(threads, thread_name_prefix=f"ecrate {work.name}") as pool:
        try:
            while _begin(core, may_go_on, work, under_way, pool, threads, each):
                done, _ = wait(under_way, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
                for one in done:
                    settle_task(core, work, under_way.pop(one), one.result())
        finally:
            # What is broken off is tried again by whoever goes on.
            work.close()


def _begin(
    core: Core,
    may_go_on: MayGoOn,
    work: Work,
    under_way: dict[Future[Failure | None], Lane],
    pool: ThreadPoolExecutor,
    threads: int,
    each: int,
) -> bool:
    """Begin what there is room for; tell whether anything is under way."""
    if not may_go_on():
        return False
    counts = Counter(lane.owner for lane in under_way.values())
    busy = {lane.id for lane in under_way.values()}
    while len(under_way) < threads:
        full = [owner for owner, count in counts.items() if count >= each]
        found = take_due_lanes(core, work.name, threads, busy=busy, without=full)
        taken = 0
        for lane in found:
            if len(under_way) < threads and counts[lane.owner] < each:
                counts[lane.owner] += 1
                busy.add(lane.id)
                under_way[pool.submit(_do, work, lane)] = lane
                taken += 1
        if not taken:
            break
    return bool(under_way)


def _do(work: Work, lane: Lane) -> Failure | None:
    try:
        return work.do(lane)
    except Exception:  # noqa: BLE001 - the other lanes go on whatever one of them met
        _LOG.exception("the work '%s' failed for %s", work.name, lane.key)
        return _FAULT
