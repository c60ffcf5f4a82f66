"""A server in development mode, and a registry of the test's own there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from ecrate.testing import Registry, Server, running_server


@pytest.fixture(scope="module")
def dev_server() -> Iterator[Server]:
    """A server as users' tests have it."""
    with running_server() as running:
        yield running


@pytest.fixture
def registry(dev_server: Server) -> Iterator[Registry]:
    """An empty registry."""
    with closing(dev_server.registry()) as made:
        yield made
