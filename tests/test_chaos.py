"""Faults of every kind while clients work: a short round each; `make chaos` goes on for longer."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chaos import faults
from tests.support.chaos.drill import run_drill
from tests.support.chaos.faults import Fault
from tests.support.chaos.site import Site, embedded_site, shared_site
from tests.support.clients import miss
from tests.support.postgres import running_postgres
from tests.support.seaweed import find_weed, running_seaweed

SEED = int(os.environ.get("ECRATE_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
ROUNDS = int(os.environ.get("ECRATE_CHAOS_ROUNDS", "1"))


@pytest.fixture(scope="module")
def embedded() -> Iterator[Site]:
    with embedded_site() as site:
        yield site


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    # Servers of its own, since others would miss them.
    program = find_weed() or miss("weed of SeaweedFS is not installed")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_postgres() as postgres,
        running_seaweed(program, Path(folder)) as store,
        shared_site(postgres, store) as site,
    ):
        yield site


def strike(site: Site, kind: type[Fault], capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_drill(site, [kind], seed=SEED, rounds=ROUNDS)

    with capsys.disabled():
        sys.stdout.write(f"\n{outcome}\n")
    assert outcome.violations == [], str(outcome)
    assert outcome.struck[kind.__name__] == ROUNDS
    # Otherwise there was nothing to lose.
    assert outcome.images > 0


@pytest.mark.parametrize("kind", faults.KINDS["sqlite"])
def test_embedded_node_keeps_its_promises(
    embedded: Site, kind: type[Fault], capsys: pytest.CaptureFixture[str]
) -> None:
    strike(embedded, kind, capsys)


@pytest.mark.postgres
@pytest.mark.s3
@pytest.mark.parametrize(
    "kind", [faults.KillPostgres, faults.KillStore, faults.CutNetwork, faults.KillNode]
)
def test_nodes_that_share_a_store_keep_their_promises(
    shared: Site, kind: type[Fault], capsys: pytest.CaptureFixture[str]
) -> None:
    strike(shared, kind, capsys)
