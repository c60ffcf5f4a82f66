"""Nodes on machines of their own, each at the same port, behind a balancer on another machine."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import pushing
from tests.support.balancer import running_balancer
from tests.support.cluster import Cluster
from tests.support.images import make_image
from tests.support.namespaces import Host, hosts
from tests.support.postgres import Postgres
from tests.support.registry import MIB, pull_blob, push_image
from tests.support.s3 import url_of
from tests.support.seaweed import S3Server
from tests.support.server import Server, start_server

pytestmark = [pytest.mark.postgres, pytest.mark.s3]

PORT = 5100


@pytest.fixture
def network() -> Iterator[Sequence[Host]]:
    with hosts(4) as made:
        yield made


@pytest.fixture
def nodes(
    network: Sequence[Host], postgres: Postgres, s3_server: S3Server, tmp_path: Path
) -> Iterator[Cluster]:
    """A node on each machine but the first, where they find the store."""
    first, *others = network
    with ExitStack() as opened:
        database = opened.enter_context(postgres.empty())
        with first.entered():
            listener = socket.create_server((first.address, 0))
        # Its connections to the store are made from here.
        store = opened.enter_context(
            running_balancer([("127.0.0.1", s3_server.port)], listener=listener)
        )
        address = s3_server.make_address(endpoint=f"http://{first.address}:{store.port}")
        cluster = Cluster(tmp_path, database, address, s3_server)
        for host in others:
            started = start_server(
                tmp_path / host.address,
                *("--host", host.address, "--port", str(PORT)),
                env={**cluster.settings, "ECRATE_BLOBS": url_of(address)},
                key=cluster.key,
                within=host.command,
            )
            opened.callback(started.kill)
            opened.callback(started.stop)
            cluster = dataclasses.replace(cluster, nodes=(*cluster.nodes, started))
        yield cluster


@pytest.fixture
def entrance(network: Sequence[Host], nodes: Cluster) -> Iterator[Server]:
    """What a client on the first machine connects to; each request comes to the next node."""
    addresses = [(host.address, PORT) for host in network[1:]]
    with (
        network[0].entered(),
        running_balancer(addresses, is_per_request=True) as balancer,
    ):
        yield dataclasses.replace(nodes.nodes[0], port=balancer.port)


def test_image_pushed_through_a_balancer_of_machines_is_pulled_through_it(
    nodes: Cluster, entrance: Server
) -> None:
    image, ecr = make_image(9 * MIB, 1000), entrance.ecr()
    for name in ("registry", "api"):
        created = ecr.create_repository(repositoryName=name)["repository"]
        assert created["repositoryUri"] == f"{entrance.host}/{name}"
    with entrance.http() as http:
        http.follow_redirects = True
        push_image(http, "registry", image, "v1")
        pushing.push_image(ecr, "api", image, "v1")

        for name in ("registry", "api"):
            for _ in nodes.nodes:
                assert http.get(f"/v2/{name}/manifests/v1").text == image.manifest
                for blob in image.blobs:
                    assert pull_blob(http, name, blob.digest) == blob.content
