"""Lanes: an order for each thing, whatever fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ecrate.domain.lanes import Failure, Lane
from ecrate.operations.lanes import Backoff, settle_task, take_due_lanes
from ecrate.store import lanes as store
from ecrate.store.database import Transaction
from tests.support.core import Bench

WORK = "a work"
FAILED = Failure("it failed")


class Work:
    """Notes how tasks end."""

    name = WORK
    backoff = Backoff(first=10, longest=100)

    def __init__(self) -> None:
        self.ended: list[tuple[object, Failure | None]] = []

    def feed(self) -> None:
        pass

    def do(self, lane: Lane) -> Failure | None:
        raise NotImplementedError

    def is_given_up(self, lane: Lane, now: float) -> bool:
        del now
        return lane.attempts + 1 >= 3

    def end(self, tx: Transaction, lane: Lane, failure: Failure | None, now: float) -> None:
        del tx, now
        self.ended.append((lane.task.body["n"], failure))

    def close(self) -> None:
        pass


@pytest.fixture
def work() -> Work:
    return Work()


def add(bench: Bench, owner: str, key: str, *numbers: int) -> None:
    with bench.writing() as tx:
        for number in numbers:
            store.insert_task(tx, WORK, owner, key, {"n": number}, now=bench.clock())


def due(bench: Bench, *, busy: Sequence[int] = (), without: Sequence[str] = ()) -> list[Lane]:
    return take_due_lanes(bench.core, WORK, 10, busy=busy, without=without)


def numbers(lanes: Sequence[Lane]) -> list[object]:
    return [lane.task.body["n"] for lane in lanes]


def test_head_of_each_lane_is_due(bench: Bench) -> None:
    add(bench, "me", "a", 1, 2)
    add(bench, "me", "b", 3)
    add(bench, "you", "a", 4)

    assert numbers(due(bench)) == [1, 3, 4]
    assert numbers(due(bench, without=["me"])) == [4]
    assert numbers(due(bench, busy=[due(bench)[0].id])) == [3, 4]


def test_task_that_is_done_lets_the_next_follow(bench: Bench, work: Work) -> None:
    add(bench, "me", "a", 1, 2)

    for _ in range(2):
        settle_task(bench.core, work, due(bench)[0], None)

    assert work.ended == [(1, None), (2, None)]
    assert due(bench) == []


def test_task_that_fails_holds_back_its_lane_alone(bench: Bench, work: Work) -> None:
    add(bench, "me", "a", 1, 2)
    add(bench, "me", "b", 3)

    settle_task(bench.core, work, due(bench)[0], FAILED)

    assert numbers(due(bench)) == [3]
    bench.clock.advance(10)
    assert numbers(due(bench)) == [3, 1]


def test_pause_doubles_and_is_never_the_same(bench: Bench, work: Work) -> None:
    pauses = [[work.backoff.pause(attempts) for _ in range(20)] for attempts in range(6)]

    for whole, tried in zip([10, 20, 40, 80, 100, 100], pauses, strict=True):
        assert whole / 2 <= min(tried) < max(tried) <= whole
    assert work.backoff.pause(10_000) <= 100
    del bench


def test_failure_may_ask_for_a_longer_pause(bench: Bench, work: Work) -> None:
    add(bench, "me", "a", 1)

    settle_task(bench.core, work, due(bench)[0], Failure("busy", seconds=500))

    bench.clock.advance(499)
    assert due(bench) == []
    bench.clock.advance(2)
    assert numbers(due(bench)) == [1]


def test_task_that_is_given_up_lets_the_next_follow(bench: Bench, work: Work) -> None:
    add(bench, "me", "a", 1, 2)

    for _ in range(3):
        bench.clock.advance(100)
        settle_task(bench.core, work, due(bench)[0], FAILED)

    assert work.ended == [(1, FAILED)]
    assert [(lane.task.body["n"], lane.attempts) for lane in due(bench)] == [(2, 0)]


def test_final_failure_is_not_tried_again(bench: Bench, work: Work) -> None:
    add(bench, "me", "a", 1)
    final = Failure("denied", is_final=True)

    settle_task(bench.core, work, due(bench)[0], final)

    assert work.ended == [(1, final)]
    assert due(bench) == []


def test_task_is_settled_once(bench: Bench, work: Work) -> None:
    add(bench, "me", "a", 1, 2)
    lane = due(bench)[0]
    settle_task(bench.core, work, lane, None)

    settle_task(bench.core, work, lane, None)
    with bench.writing() as tx:
        store.delete_lanes(tx, WORK, "me")
    settle_task(bench.core, work, lane, None)

    assert work.ended == [(1, None)]


def test_added_while_the_last_is_under_way_comes_next(bench: Bench, work: Work) -> None:
    add(bench, "me", "a", 1)
    lane = due(bench)[0]
    add(bench, "me", "a", 2)

    settle_task(bench.core, work, lane, None)

    assert numbers(due(bench)) == [2]
