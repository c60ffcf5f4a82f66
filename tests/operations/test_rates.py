"""Rate limits: buckets that fill again, apart from each other, in a table that is never full."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ecrate.domain.errors import RateExceeded
from ecrate.domain.names import RegistryRef
from ecrate.operations.rates import RateLimits
from tests.support.core import Clock

HERE = RegistryRef("111111111111", "eu-west-1")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def limits(clock: Clock) -> Iterator[RateLimits]:
    made = RateLimits({"PutImage": 10, "BatchGetImage": 3000}, clock)
    yield made
    made.close()


def taken(
    limits: RateLimits, times: int, operation: str = "PutImage", registry: RegistryRef = HERE
) -> int:
    """Call that often at one moment; give how many calls went through."""
    count = 0
    for _ in range(times):
        try:
            limits.take(registry, operation)
        except RateExceeded:
            continue
        count += 1
    return count


@pytest.mark.parametrize(("operation", "rate"), [("PutImage", 10), ("BatchGetImage", 3000)])
def test_bucket_holds_what_a_second_brings(limits: RateLimits, operation: str, rate: int) -> None:
    assert taken(limits, rate + 100, operation) == rate


def test_bucket_fills_by_and_by(limits: RateLimits, clock: Clock) -> None:
    taken(limits, 10)

    counts = []
    for pause in (0.1, 0.05, 0.05, 0.35, 100.0):
        clock.advance(pause)
        counts.append(taken(limits, 20))

    assert counts == [1, 0, 1, 3, 10]


def test_refused_calls_cost_nothing(limits: RateLimits, clock: Clock) -> None:
    taken(limits, 1000)
    clock.advance(1.0)

    assert taken(limits, 20) == 10


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(RegistryRef("222222222222", "eu-west-1"), id="account"),
        pytest.param(RegistryRef("111111111111", "us-east-1"), id="region"),
    ],
)
def test_buckets_are_apart(limits: RateLimits, other: RegistryRef) -> None:
    taken(limits, 20)

    assert taken(limits, 20, registry=other) == 10
    assert taken(limits, 5000, "BatchGetImage") == 3000
    assert taken(limits, 20) == 0


def test_operation_without_a_rate_is_not_limited(limits: RateLimits) -> None:
    assert taken(limits, 5000, "DescribeImages") == 5000


def test_more_buckets_than_the_table_has_take_the_place_of_full_ones(
    limits: RateLimits, clock: Clock
) -> None:
    for number in range(20_000):
        limits.take(RegistryRef(f"{number:012}", "us-east-1"), "PutImage")
    clock.advance(0.1)

    counts = {taken(limits, 11, registry=RegistryRef(f"{n:012}", "eu")) for n in range(3000)}
    again = taken(limits, 1, registry=RegistryRef(f"{2999:012}", "eu"))

    assert counts == {10}
    assert again == 0
