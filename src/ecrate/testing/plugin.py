"""pytest fixtures, there as soon as ecrate is installed.

    def test_deploy(ecrate):
        image = ecrate.push_image("app", "v1")
        assert ecrate.ecr.describe_images(repositoryName="app")["imageDetails"]

`ecrate` is a registry that only this test has, `ecrate_session` one for the whole run,
`ecrate_server` the server of both, `ecrate_environment` sets the AWS variables for the test. In
the configuration, `ecrate_serve = --seed seed.toml` gives the server more arguments, and
`ecrate_parity = true` has it be as narrow as ECR.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from ecrate.testing.registry import Registry
from ecrate.testing.server import Server, running_server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("ecrate_serve", "more arguments for `ecrate serve`", type="args")
    parser.addini("ecrate_parity", "whether to be as narrow as ECR", type="bool", default=False)


@pytest.fixture(scope="session")
def ecrate_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """A running ecrate, one for each process that runs tests."""
    settings = {"parity": "ecr"} if pytestconfig.getini("ecrate_parity") else {}
    with running_server(*pytestconfig.getini("ecrate_serve"), settings=settings) as server:
        yield server


@pytest.fixture
def ecrate(ecrate_server: Server) -> Iterator[Registry]:
    """An empty registry of this test's own."""
    with closing(ecrate_server.registry()) as registry:
        yield registry


@pytest.fixture(scope="session")
def ecrate_session(ecrate_server: Server) -> Iterator[Registry]:
    """A registry for all tests of the run."""
    with closing(ecrate_server.registry()) as registry:
        yield registry


@pytest.fixture
def ecrate_environment(ecrate: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The test's registry, with the AWS variables set so that everything leads there."""
    for name, value in ecrate.environment.items():
        monkeypatch.setenv(name, value)
    return ecrate
