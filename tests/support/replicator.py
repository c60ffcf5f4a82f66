"""The job that replicates, without a server."""

from __future__ import annotations

from ecrate.domain.lanes import Failure
from ecrate.operations.core import Core
from ecrate.operations.events import publish_events
from ecrate.operations.lanes import settle_task, take_due_lanes
from ecrate.operations.replication.tasks import WORK
from ecrate.operations.replication.work import Replications
from tests.support.core import DAY


class Replicator:
    """The job, run until there is nothing to do."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.work = Replications(self._core, {}, patience=DAY, on_close=lambda: None)
        self.run()

    def run(self) -> list[Failure]:
        """Give what failed."""
        failures = []
        while True:
            while publish_events(self._core):
                pass
            self.work.feed()
            lanes = take_due_lanes(self._core, WORK, 100, busy=(), without=())
            for lane in lanes:
                failure = self.work.do(lane)
                failures += [] if failure is None else [failure]
                settle_task(self._core, self.work, lane, failure)
            if not lanes:
                return failures
