"""Faults of every kind while clients work: a short round each; `make chaos` goes on for longer."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

import pytest

from tests.support.chaos import faults
from tests.support.chaos.drill import run_drill
from tests.support.chaos.faults import Fault
from tests.support.chaos.site import Site, embedded_site, shared_site
from tests.support.postgres import Postgres
from tests.support.seaweed import S3Server, find_weed, running_seaweed

SEED = int(os.environ.get("ECRATE_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = 2


@pytest.fixture(scope="module")
def embedded() -> Iterator[Site]:
    with embedded_site() as site:
        yield site


def strike(site: Site, kind: type[Fault], capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_drill(site, [kind], seed=SEED, rounds=ROUNDS)

    with capsys.disabled():
        sys.stdout.write(f"\n{outcome}\n")
    assert outcome.violations == [], str(outcome)
    assert outcome.struck[kind.__name__] == ROUNDS
    # Otherwise there was nothing to lose.
    assert outcome.images > 0


@pytest.mark.parametrize(
    "kind",
    [
        faults.KillWorker,
        faults.KillNode,
        faults.FillDisk,
        faults.FailCalls,
        faults.StepClock,
        faults.StallClient,
        faults.LoseClient,
    ],
)
def test_embedded_node_keeps_its_promises(
    embedded: Site, kind: type[Fault], capsys: pytest.CaptureFixture[str]
) -> None:
    strike(embedded, kind, capsys)
