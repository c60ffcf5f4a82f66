"""Lanes: what is taken from them, and what becomes of it."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from ecrate.domain.lanes import Failure, Lane
from ecrate.operations.core import Core
from ecrate.store import lanes as store
from ecrate.store.database import Transaction

_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Backoff:
    """Between two attempts, `first` seconds the first time, doubling up to `longest`; each is
    shortened by up to a half at random, so that not all come at once.
    """

    first: float
    longest: float

    def pause(self, attempts: int) -> float:
        """Give the seconds to wait after the attempt behind `attempts` others failed."""
        whole = min(self.longest, self.first * 2.0 ** min(attempts, 60))
        return whole * random.uniform(0.5, 1)  # noqa: S311 - no secret


class Work(Protocol):
    """A kind of work that has lanes. Made anew whenever a worker begins with it."""

    name: str
    backoff: Backoff

    def feed(self) -> None:
        """Put what is new into lanes; called again and again while others are under way."""

    def do(self, lane: Lane) -> Failure | None:
        """Do what the task at the lane's head says, which may have been done before; give why it
        was not done. Several threads do so at once, each for another lane.
        """

    def is_given_up(self, lane: Lane, now: float) -> bool:
        """Tell whether a head that has just failed is not to be tried again."""

    def end(self, tx: Transaction, lane: Lane, failure: Failure | None, now: float) -> None:
        """Write what follows from the task's end, in the transaction that takes it away."""

    def close(self) -> None:
        """Break off what is under way."""


def take_due_lanes(
    core: Core, work: str, limit: int, *, busy: Collection[int], without: Collection[str]
) -> list[Lane]:
    """Give up to `limit` lanes with something to do now, none of the `busy` ones."""
    with core.database.look() as tx:
        found = store.list_due_lanes(tx, work, core.clock(), limit + len(busy), without=without)
    return [lane for lane in found if lane.id not in busy][:limit]


def settle_task(core: Core, work: Work, lane: Lane, failure: Failure | None) -> None:
    """Take the head away that was done or is given up, or note when to try it again."""
    with core.database.write() as tx:
        if not store.lock_head(tx, lane):
            return  # another worker did it, or nobody wants it any more
        now = core.clock()
        if failure is None or failure.is_final or work.is_given_up(lane, now):
            work.end(tx, lane, failure, now)
            store.delete_head(tx, lane, now)
            return
        pause = max(failure.seconds, work.backoff.pause(lane.attempts))
        store.postpone(tx, lane, now + pause, failure.reason[:_LONGEST_REASON])
