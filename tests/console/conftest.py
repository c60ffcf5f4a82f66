"""A server whose console is looked at, and people who look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.console import Visitor
from tests.support.policies import allow, policy
from tests.support.principals import make_user
from tests.support.server import Server, running_server

READING = (
    *("DescribeRepositories", "DescribeImages", "ListImages", "BatchGetImage"),
    *("GetDownloadUrlForLayer", "GetLifecyclePolicy", "GetRepositoryPolicy"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the module's own: its audit log is read, and its attempts are counted."""
    folder = tmp_path_factory.mktemp("console")
    settings = {"ECRATE_AUDIT_LOG": str(folder / "audit.log"), "ECRATE_EVENTS_EVERY": "0.1"}
    with running_server(folder / "data", "--workers", "1", env=settings) as running:
        yield running


@pytest.fixture(scope="module")
def reader(server: Server) -> Server:
    """The server as somebody sees it who may read only."""
    actions = [f"ecr:{action}" for action in READING]
    return make_user(server, "reader", policy(allow(*actions, Resource="*")))


@pytest.fixture
def visit() -> Iterator[Callable[[Server], Visitor]]:
    """Make visitors who have not signed in yet."""
    with ExitStack() as opened:

        def make(server: Server) -> Visitor:
            client = opened.enter_context(httpx.Client(base_url=server.endpoint, timeout=30))
            return Visitor(client)

        yield make


@pytest.fixture
def root(server: Server, visit: Callable[[Server], Visitor]) -> Visitor:
    """Somebody signed in with the root key."""
    visitor = visit(server)
    visitor.sign_in(server.key_id, server.secret)
    return visitor


@pytest.fixture
def guest(reader: Server, visit: Callable[[Server], Visitor]) -> Visitor:
    """Somebody signed in who may read only."""
    visitor = visit(reader)
    visitor.sign_in(reader.key_id, reader.secret)
    return visitor
