"""Nodes that share a database on PostgreSQL, an S3 store and a secret."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from ecrate.blobs.s3.address import S3Address
from tests.support.audit import audit_counters
from tests.support.balancer import Balancer, running_balancer
from tests.support.images import digest_of
from tests.support.s3 import url_of
from tests.support.seaweed import KEY, S3Server
from tests.support.server import Server, start_server


@dataclass(frozen=True)
class Cluster:
    """Running nodes, whose clients sign with one root key, and what they share."""

    folder: Path
    database: str
    address: S3Address
    store: S3Server
    nodes: tuple[Server, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        """The variables that make a server a node."""
        return {
            "ECRATE_DATABASE": self.database,
            "ECRATE_BLOBS": url_of(self.address),
            "ECRATE_S3_ACCESS_KEY_ID": KEY.key_id,
            "ECRATE_S3_SECRET_ACCESS_KEY": KEY.secret,
            "ECRATE_SECRET_FILE": str(self.folder / "secret"),
            "ECRATE_WORKERS": "1",
        }

    def start(self, name: str, **settings: str) -> Server:
        """Start one more node."""
        return start_server(self.folder / name, env=self.settings | settings, key=self.key)

    @property
    def key(self) -> tuple[str, str] | None:
        """Give id and secret of the root key, if the first node runs."""
        return (self.nodes[0].key_id, self.nodes[0].secret) if self.nodes else None

    @contextlib.contextmanager
    def balanced(self, *, is_per_request: bool = False) -> Iterator[tuple[Server, Balancer]]:
        """Run a balancer before the nodes, and give the server that it looks like."""
        nodes = [("127.0.0.1", node.port) for node in self.nodes]
        with running_balancer(nodes, is_per_request=is_per_request) as balancer:
            yield dataclasses.replace(self.nodes[0], port=balancer.port), balancer

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database, or change something there; `%s` stands for a value."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            done = connection.execute(query.encode(), values or None)
            return [] if done.description is None else done.fetchall()

    def problems(self) -> list[str]:
        """Compare the rows with each other and with the objects in the store."""
        found, client = [*audit_counters(self.rows)], self.store.client()
        for key, digest in self.rows("SELECT key, digest FROM blobs"):
            try:
                answer = client.get_object(
                    Bucket=self.address.bucket, Key=f"{self.address.prefix}{key}"
                )
            except client.exceptions.NoSuchKey:
                found.append(f"blob {digest} has no object {key}")
            else:
                actual = digest_of(answer["Body"].read())
                found += [f"the object of blob {digest} has {actual}"] * (actual != digest)
        return found


@contextlib.contextmanager
def running_cluster(
    folder: Path, database: str, store: S3Server, count: int = 3, **settings: str
) -> Iterator[Cluster]:
    """Run nodes of one worker each on a database and an empty place in the store."""
    with contextlib.ExitStack() as opened:
        cluster = Cluster(folder, database, store.make_address(), store)

        def start(name: str) -> Server:
            node = cluster.start(name, **settings)
            opened.callback(node.kill)
            opened.callback(node.stop)
            return node

        names = [f"node-{number}" for number in range(1, count + 1)]
        cluster = dataclasses.replace(cluster, nodes=(start(names[0]),))
        with ThreadPoolExecutor(count) as threads:
            others = list(threads.map(start, names[1:]))
        yield dataclasses.replace(cluster, nodes=(*cluster.nodes, *others))
