"""The engines that the contract holds for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ecrate.store.database import Database
from ecrate.store.engines import open_database
from tests.support.postgres import ENGINES


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    return str(request.param)


@pytest.fixture
def make_database(database_url: str) -> Iterator[Callable[[], Database]]:
    """Open one and the same database as often as a test needs."""
    with ExitStack() as opened:

        def make() -> Database:
            database = open_database(database_url, connections=8)
            opened.callback(database.close)
            return database

        yield make


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    """A database with its schema and nothing in it."""
    return make_database()
