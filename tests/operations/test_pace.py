"""How fast bytes are read in the background."""

from __future__ import annotations

from ecrate.operations.pace import Pace
from tests.support.core import Clock


def test_pace_is_kept_to() -> None:
    clock = Clock()
    begun = clock.now
    pace = Pace(100.0, clock=clock, sleep=clock.advance)

    for _ in range(10):
        pace.spend(50)

    assert clock.now - begun == 5.0


def test_time_that_was_not_used_is_lost() -> None:
    clock = Clock()
    pace = Pace(100.0, clock=clock, sleep=clock.advance)
    clock.advance(1000)
    begun = clock.now

    pace.spend(200)

    assert clock.now - begun == 2.0


def test_without_a_rate_nobody_waits() -> None:
    clock = Clock()
    begun = clock.now

    Pace(None, clock=clock, sleep=clock.advance).spend(10**12)

    assert clock.now == begun
