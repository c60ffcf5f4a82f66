"""Holds: what keeps bytes from being deleted, and for how long."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ecrate.domain.errors import HoldLost
from ecrate.domain.names import RepositoryRef
from ecrate.operations.collection import collect, collect_strays
from ecrate.operations.holds import Hold, holding
from tests.support.core import DAY, HOUR, Bench

CONTENT = b"the layer"


@pytest.fixture
def condemned(bench: Bench, one: RepositoryRef) -> str:
    """Bytes whose quarantine is over."""
    bench.store(one, CONTENT)
    bench.clock.advance(DAY + 1)
    collect(bench.core)
    bench.clock.advance(HOUR)
    (key,) = bench.files()
    return key


@pytest.fixture
def hold(bench: Bench) -> Iterator[Hold]:
    """A hold on the bench's bytes."""
    with holding(bench.core) as made:
        yield made


def test_collect_spares_bytes_while_they_are_held(bench: Bench, condemned: str) -> None:
    with holding(bench.core):
        collect(bench.core)
        while_held = bench.files()

    collect(bench.core)

    assert while_held == {condemned}
    assert bench.files() == set()


def test_one_hold_is_enough(bench: Bench, condemned: str, hold: Hold) -> None:
    with holding(bench.core):
        pass

    collect(bench.core)

    assert bench.files() == {condemned}
    hold.renew()


def test_strays_stay_while_bytes_are_held(bench: Bench, one: RepositoryRef, hold: Hold) -> None:
    bench.store(one, CONTENT)
    stray = bench.folder / "blobs" / "ab" / "abc"
    stray.write_bytes(CONTENT)
    os.utime(stray, (0, 0))

    collect_strays(bench.core)
    hold.end()

    assert stray.exists()
    assert collect_strays(bench.core) == 1


def test_hold_of_a_process_that_was_killed_ends(bench: Bench, condemned: str) -> None:
    Hold(bench.core).take()
    bench.clock.advance(HOUR)

    collect(bench.core)

    assert condemned not in bench.files()


def test_hold_that_is_renewed_goes_on(bench: Bench, condemned: str, hold: Hold) -> None:
    for _ in range(10):
        bench.clock.advance(HOUR / 6)
        hold.renew()

    collect(bench.core)

    assert bench.files() == {condemned}


def test_hold_tells_that_it_had_ended(bench: Bench, hold: Hold) -> None:
    bench.clock.advance(HOUR)

    with pytest.raises(HoldLost, match="Run it again"):
        hold.renew()
