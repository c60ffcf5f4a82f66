"""Three nodes on PostgreSQL and S3, and a balancer of each kind before them."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.balancer import Balancer
from tests.support.cluster import Cluster, running_cluster
from tests.support.postgres import Postgres
from tests.support.seaweed import S3Server
from tests.support.server import Server

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(postgres: Postgres, s3_server: S3Server) -> Iterator[Cluster]:
    """Three nodes that collect all the time."""
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.empty() as url,
        running_cluster(Path(folder), url, s3_server, ECRATE_COLLECT_EVERY="0.2") as running,
    ):
        yield running


@pytest.fixture(scope="session")
def clients(cluster: Cluster) -> Sequence[ECRClient]:
    """A boto3 client of each node, that does not retry."""
    return [node.ecr() for node in cluster.nodes]


@pytest.fixture(scope="session")
def balanced(cluster: Cluster) -> Iterator[Server]:
    """The nodes behind a balancer of connections."""
    with cluster.balanced() as (server, _):
        yield server


@pytest.fixture(scope="session")
def _rotating(cluster: Cluster) -> Iterator[tuple[Server, Balancer]]:
    with cluster.balanced(is_per_request=True) as pair:
        yield pair


@pytest.fixture
def rotating(_rotating: tuple[Server, Balancer]) -> tuple[Server, Balancer]:
    """The nodes behind a balancer that sends each request of a client to the next one."""
    _rotating[1].forget()
    return _rotating


@pytest.fixture
def make_name(clients: Sequence[ECRClient]) -> Callable[[], str]:
    """Create repositories, each with a name of its own."""

    def make() -> str:
        name = f"nodes/repository-{next(_NUMBERS)}"
        clients[0].create_repository(repositoryName=name)
        return name

    return make


@pytest.fixture
def repository(make_name: Callable[[], str]) -> str:
    return make_name()
