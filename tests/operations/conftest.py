"""A core on a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ecrate.domain.names import RepositoryRef
from tests.support.core import Bench


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
