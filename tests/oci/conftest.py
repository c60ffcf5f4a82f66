"""Fixtures for tests of the registry door."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.caches import Cache, running_cache
from tests.support.images import MadeImage, make_image
from tests.support.registry import start_upload
from tests.support.server import Server, running_server

_NUMBERS = itertools.count(1)


@pytest.fixture
def make_name() -> Callable[[], str]:
    """Give repository names that no other test uses."""
    return lambda: f"named/by-test-{next(_NUMBERS)}"


@pytest.fixture
def make_region() -> Callable[[], str]:
    """Give regions, and with them registries, that no other test uses."""
    return lambda: f"test-region-{next(_NUMBERS)}"


@pytest.fixture
def upload(http: httpx.Client, repository: str) -> str:
    """The location of a new upload in a new repository."""
    return start_upload(http, repository)


@pytest.fixture(scope="session")
def open_server() -> Iterator[Server]:
    """A server in development mode, where a key id of 12 digits is an account."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--dev") as running,
    ):
        yield running


@pytest.fixture(scope="session")
def as_account(open_server: Server) -> Callable[[str], Server]:
    """Give the development server as one account sees it."""

    def see(account: str) -> Server:
        return dataclasses.replace(open_server, key_id=account, secret="any")

    return see


@pytest.fixture(scope="session")
def crowd() -> Iterator[Server]:
    """A server with more workers than a test can hit by chance."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", "--workers", "4") as running,
    ):
        yield running


@pytest.fixture
def crowded(crowd: Server, make_name: Callable[[], str]) -> str:
    """A new, empty repository on the server with many workers."""
    name = make_name()
    crowd.ecr().create_repository(repositoryName=name)
    return name


@pytest.fixture(scope="session")
def parity_server() -> Iterator[Server]:
    """A server that does nothing beyond ECR, but lets tests push as fast as they can."""
    parity = {"ECRATE_PARITY": "ecr", "ECRATE_RATE_LIMITS": "off"}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", env=parity) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cache]:
    """A server with a rule for an upstream, which fetches nothing that nobody asks for."""
    with running_cache(tmp_path_factory.mktemp("cache") / "data") as running:
        yield running


@pytest.fixture
def name(make_name: Callable[[], str]) -> str:
    """What a repository is called at the upstream."""
    return make_name()


@pytest.fixture
def image(cache: Cache, name: str) -> MadeImage:
    """An image that upstream has, under the tag v1."""
    return cache.upstream.add(name, make_image(3000), "v1")
