"""The same work for many things, some at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ecrate.operations.parallel import each


def test_results_come_in_order() -> None:
    assert list(each(lambda number: number * 2, range(100), jobs=4)) == list(range(0, 200, 2))


def test_jobs_are_under_way_at_once() -> None:
    together = threading.Barrier(3, timeout=20)

    assert len(list(each(lambda _: together.wait(), range(3), jobs=3))) == 3


def test_few_are_taken_ahead() -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = each(lambda number: number, things(), jobs=2)
    next(results)

    assert len(taken) == 4
    results.close()  # type: ignore[attr-defined]


def test_failure_ends_it() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 5:
            raise ValueError(number)
        done.append(number)
        return number

    with pytest.raises(ValueError, match="5"):
        list(each(work, range(1000), jobs=2))

    assert len(done) < 20
