"""The memory that uploads to S3 share."""

from __future__ import annotations

import pytest

from ecrate.blobs.s3.memory import MIB, Buffer, Segments


def fill(buffer: Buffer, data: bytes) -> int:
    """Put what there is room for; give how many bytes."""
    view = memoryview(data)
    while view and (count := buffer.put(view, 0)):
        view = view[count:]
    return len(data) - len(view)


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 3 * MIB - 1])
def test_buffer_gives_what_was_put(size: int) -> None:
    buffer, data = Buffer(Segments(3)), bytes(range(251)) * (size // 251 + 1)

    fill(buffer, data[:7][:size])
    fill(buffer, data[7:size])

    assert b"".join(buffer.pieces()) == data[:size]
    assert buffer.size == size


def test_buffer_takes_no_more_than_the_pool_has() -> None:
    pool = Segments(2)
    first, second = Buffer(pool), Buffer(pool)

    taken = fill(first, bytes(MIB + 1)), fill(second, b"x")
    first.clear()

    assert taken == (MIB + 1, 0)
    assert fill(second, bytes(3 * MIB)) == 2 * MIB


@pytest.mark.parametrize(
    ("at", "first", "second"),
    [
        pytest.param(2 * MIB, 2 * MIB, MIB // 2, id="segments"),
        pytest.param(3 * MIB, 5 * MIB // 2, 0, id="all"),
        pytest.param(5 * MIB // 2, 5 * MIB // 2, 0, id="exactly-all"),
    ],
)
def test_split_keeps_the_order(at: int, first: int, second: int) -> None:
    buffer, data = Buffer(Segments(3)), bytes(range(250)) * 10_486
    fill(buffer, data[: 5 * MIB // 2])

    taken = buffer.split(at)

    assert (taken.size, buffer.size) == (first, second)
    assert b"".join([*taken.pieces(), *buffer.pieces()]) == data[: 5 * MIB // 2]


def test_pool_lets_go_of_most_that_nobody_needs() -> None:
    pool = Segments(100)
    taken = [pool.take(0) for _ in range(100)]
    pool.give_back([segment for segment in taken if segment is not None])

    again = [pool.take(0) for _ in range(101)]

    assert sum(any(segment is old for old in taken) for segment in again if segment) == 64
    assert [segment is None for segment in again] == [False] * 100 + [True]


def test_take_waits_for_what_is_given_back() -> None:
    pool = Segments(1)
    segment = pool.take(0)

    assert segment is not None
    assert pool.take(0.01) is None
    pool.give_back([segment])
    assert pool.take(0) is segment
