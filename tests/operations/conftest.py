"""A core on a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ecrate.domain.names import RepositoryRef
from tests.support.core import Bench, Clock
from tests.support.interleaving import SMALL_LIMITS, Stage, SteppedDatabase
from tests.support.postgres import Postgres


@pytest.fixture
def make_bench(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Bench]]:
    """Make cores on the same folder and database, each as another process would have it."""
    with ExitStack() as opened:

        def make(**options: Any) -> Bench:
            bench = Bench(tmp_path, database_url, options=options)
            opened.callback(bench.close)
            return bench

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A core with the usual limits."""
    return make_bench()


@pytest.fixture
def one(bench: Bench) -> RepositoryRef:
    """A repository."""
    return bench.create("one")


@pytest.fixture(scope="module")
def stage(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two nodes that share what nodes share, and a clock."""
    clock, folder = Clock(), tmp_path_factory.mktemp("stage")
    with ExitStack() as opened:
        url = opened.enter_context(postgres.prepared())

        def node() -> Bench:
            made = Bench(
                folder, url, clock, options={"limits": SMALL_LIMITS}, engine=SteppedDatabase
            )
            opened.callback(made.close)
            return made

        watch = opened.enter_context(psycopg.connect(url, autocommit=True))
        yield Stage(node(), node(), watch)
