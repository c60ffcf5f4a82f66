"""Fixtures that all tests may use."""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import settings

from tests.support.clients import miss
from tests.support.postgres import Postgres, running_postgres
from tests.support.seaweed import S3Server, find_weed, running_seaweed
from tests.support.server import Server, running_server
from tests.support.sqlite import lay_database

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

# The same examples each time, however slow the machine is; nothing is kept between runs.
settings.register_profile("ecrate", database=None, deadline=None, derandomize=True)
settings.load_profile("ecrate")

# Reading all authorities takes a client of httpx 20 ms, for connections without TLS, too.
_HTTPX: Any = importlib.import_module("httpx._transports.default")
_HTTPX.create_ssl_context = functools.cache(httpx.create_ssl_context)

# `TEST_ENGINE=postgres` has all tests that use the common server, or a core of their own,
# work on PostgreSQL.
ENGINE = os.environ.get("TEST_ENGINE", "sqlite")
_NUMBERS = itertools.count(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many command lines tests/cli/test_equality.py compared."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    names = [name for report in reports for name, _ in getattr(report, "user_properties", ())]
    if count := names.count("compared command line"):
        terminalreporter.write_line(f"{count} command lines were compared with those of aws")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for all tests that do not change how it runs."""
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        arguments = []
        if ENGINE == "postgres":
            postgres: Postgres = request.getfixturevalue("postgres")
            arguments = ["--database", opened.enter_context(postgres.empty())]
        yield opened.enter_context(running_server(Path(folder) / "data", *arguments))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server, for tests marked `s3`."""
    program = find_weed() or miss("weed of SeaweedFS is not installed")
    with tempfile.TemporaryDirectory() as folder, running_seaweed(program, Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def ecr(server: Server) -> ECRClient:
    """A boto3 client that does not retry."""
    return server.ecr()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests that want one."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def engine() -> str:
    """Which engine a test is for, unless it is one for both (`tests.support.postgres.ENGINES`)."""
    return ENGINE


@pytest.fixture
def database_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a prepared database with nothing in it."""
    if engine == "sqlite":
        lay_database(tmp_path / "ecrate.db")
        yield f"sqlite://{tmp_path / 'ecrate.db'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.prepared() as url:
            yield url


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    """An HTTP client for the registry door."""
    with server.http() as client:
        yield client


@pytest.fixture
def make_repository(ecr: ECRClient) -> Callable[[], str]:
    """Create repositories, each with a name of its own."""

    def make() -> str:
        name = f"test/repository-{next(_NUMBERS)}"
        ecr.create_repository(repositoryName=name)
        return name

    return make


@pytest.fixture
def repository(make_repository: Callable[[], str]) -> str:
    """A new, empty repository."""
    return make_repository()
