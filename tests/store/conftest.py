"""The engines that the contract holds for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ecrate.store.database import Database
from ecrate.store.sqlite import SqliteDatabase, migrate

ENGINES = {"sqlite": (migrate, SqliteDatabase)}


@pytest.fixture(params=ENGINES)
def make_database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], Database]]:
    """Open one and the same database as often as a test needs, of each kind."""
    migrate_data, engine = ENGINES[request.param]
    path = tmp_path / "ecrate.db"
    migrate_data(path)
    with ExitStack() as opened:

        def make() -> Database:
            database = engine(path)
            opened.callback(database.close)
            return database

        yield make


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    """A database with its schema and nothing in it."""
    return make_database()
