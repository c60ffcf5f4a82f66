"""Background work of several nodes, one of which dies, or stops and wakes up after its time."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import psycopg
import pytest

from tests.support.cluster import Cluster
from tests.support.images import MadeImage, digest_of, make_image
from tests.support.lifecycle import policy, rule
from tests.support.postgres import Postgres
from tests.support.proxy import Proxy, running_proxy
from tests.support.registry import (
    MIB,
    finish_upload,
    pull_blob,
    push_image,
    some_bytes,
    start_upload,
    wait_until,
)
from tests.support.s3 import url_of
from tests.support.seaweed import S3Server
from tests.support.server import Server
from tests.support.wire import Wire

pytestmark = [pytest.mark.postgres, pytest.mark.s3]

# What is deleted goes at once, but for what a test has not made old yet.
SETTINGS = {
    "ECRATE_COLLECT_EVERY": "0.1",
    "ECRATE_QUARANTINE": "0",
    "ECRATE_TRASH_KEPT": "0",
    "ECRATE_LIFECYCLE_EVERY": "0.1",
}


_NUMBERS = itertools.count(1)
SPAN = f"0-{3 * MIB - 1}"


@dataclass
class Gate:
    """Holds a node's deletions in the store back while it is shut."""

    is_open: threading.Event = field(default_factory=threading.Event)
    held: list[str] = field(default_factory=list)

    def hold(self, name: str, head: bytes, _: bytes) -> bytes:
        if name == "DELETE" and not self.is_open.is_set():
            self.held.append(head.split()[1].decode())
            self.is_open.wait(60)
        return b""


@dataclass
class Watch:
    """A first node, which has the collector's lease, and how to get at what it relies on."""

    cluster: Cluster
    proxy: Proxy

    @property
    def first(self) -> Server:
        return self.cluster.nodes[0]

    def holder(self) -> str:
        """Give who has the lease, whether it is over or not."""
        rows = self.cluster.rows("SELECT holder FROM leases WHERE name = 'collector'")
        return str(rows[0][0]) if rows else ""

    def end_lease(self) -> None:
        """Let the time pass that a lease lasts."""
        self.cluster.rows("UPDATE leases SET expires_at = 0 WHERE name = 'collector'")

    def age(self, name: str) -> None:
        """Let the time pass that a layer which no image needs stays in a repository."""
        self.cluster.rows(
            "UPDATE layers SET touched_at = 0 FROM repositories "
            "WHERE id = repository_id AND name = %s",
            name,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of the first node's processes."""
        os.killpg(self.first.process.pid, number)

    def backends(self, *, wait: str = "", state: str = "") -> list[int]:
        """Give the database's ends of the first node's connections that wait, or are, so."""
        found = self.cluster.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = %s AND (wait_event_type = %s OR state = %s)",
            self.first.data.name,
            wait,
            state,
        )
        return [pid for (pid,) in found]


@pytest.fixture(scope="module")
def lone(
    postgres: Postgres, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A node that gets the work of another one."""
    with postgres.empty() as database, contextlib.ExitStack() as opened:
        folder = tmp_path_factory.mktemp("nodes")
        cluster = Cluster(folder, database, s3_server.make_address(), s3_server)
        node = cluster.start("lone", **SETTINGS)
        opened.callback(node.kill)
        opened.callback(node.stop)
        yield replace(cluster, nodes=(node,))


@pytest.fixture
def watch(lone: Cluster) -> Iterator[Watch]:
    """The same with a node before it that has the lease."""
    (other,), number = lone.nodes, next(_NUMBERS)
    with running_proxy(lone.store.port) as proxy, contextlib.ExitStack() as opened:
        first = lone.start(
            f"first-{number}",
            **SETTINGS,
            ECRATE_DATABASE=f"{lone.database}&application_name=first-{number}",
            ECRATE_BLOBS=url_of(replace(lone.address, endpoint=proxy.endpoint)),
        )
        opened.callback(first.kill)
        watch = Watch(replace(lone, nodes=(first, other)), proxy)
        before = watch.holder()
        os.killpg(other.process.pid, signal.SIGSTOP)
        opened.callback(os.killpg, other.process.pid, signal.SIGCONT)
        watch.end_lease()
        wait_until(lambda: watch.holder() != before)
        os.killpg(other.process.pid, signal.SIGCONT)
        yield watch


def push(server: Server, name: str, *images: MadeImage) -> None:
    """Make a repository and push images to it, the first one as v0, and so on."""
    server.ecr().create_repository(repositoryName=name)
    with server.http() as http:
        for number, image in enumerate(images):
            push_image(http, name, image, f"v{number}")


def delete(server: Server, name: str, image: MadeImage) -> None:
    with server.http() as http:
        assert http.delete(f"/v2/{name}/manifests/{image.digest}").status_code == 202


def pull(server: Server, name: str, image: MadeImage) -> None:
    with server.http() as http:
        http.follow_redirects = True
        assert http.get(f"/v2/{name}/manifests/{image.digest}").text == image.manifest
        for blob in image.blobs:
            assert pull_blob(http, name, blob.digest) == blob.content


def objects(cluster: Cluster) -> set[str]:
    """Give the keys of all layers in the store."""
    listed = cluster.store.client().list_objects_v2(
        Bucket=cluster.address.bucket, Prefix=cluster.address.prefix
    )
    return {one["Key"] for one in listed.get("Contents", ())} - {f"{cluster.address.prefix}owner"}


def test_node_that_stops_in_good_order_leaves_its_work_to_another_at_once(watch: Watch) -> None:
    before = watch.holder()

    assert watch.first.stop() == 0

    wait_until(lambda: watch.holder() not in {"", before})


def test_work_of_a_node_that_was_killed_is_taken_over_when_its_lease_is_over(watch: Watch) -> None:
    image, before, other = make_image(100), watch.holder(), watch.cluster.nodes[1]
    was_there = objects(watch.cluster)
    push(other, "killed", image)
    watch.signal(signal.SIGKILL)
    left = watch.cluster.rows(
        "SELECT expires_at - extract(epoch from now()) FROM leases WHERE name = 'collector'"
    )
    delete(other, "killed", image)
    watch.age("killed")
    kept = objects(watch.cluster) - was_there

    watch.end_lease()

    wait_until(lambda: not objects(watch.cluster) & kept)
    assert watch.holder() != before
    assert 0 < left[0][0] <= 60
    assert len(kept) == 2


def test_deletions_of_a_node_that_woke_up_late_take_nothing_that_came_since(watch: Watch) -> None:
    image, before, other = make_image(100, MIB), watch.holder(), watch.cluster.nodes[1]
    was_there = objects(watch.cluster)
    push(other, "late", image)
    gate = Gate()
    watch.proxy.answers = gate.hold
    delete(other, "late", image)
    watch.age("late")
    wait_until(lambda: bool(gate.held))
    watch.signal(signal.SIGSTOP)
    watch.end_lease()
    wait_until(lambda: watch.holder() != before)
    with other.http() as http:
        push_image(http, "late", image, "v0")
    # The other node deletes what the first one was about to.
    wait_until(lambda: len(objects(watch.cluster) - was_there) == len(image.blobs))

    gate.is_open.set()
    watch.signal(signal.SIGCONT)

    with watch.first.http() as http:
        wait_until(lambda: http.get("/readyz").status_code == 200)
    wait_until(lambda: watch.proxy.count("DELETE") >= len(image.blobs))
    for node in watch.cluster.nodes:
        pull(node, "late", image)
    assert watch.cluster.problems() == []
    assert len(objects(watch.cluster) - was_there) == len(image.blobs)
    assert watch.holder() != before


def test_policy_taken_back_while_the_node_slept_that_carries_it_out_does_nothing(
    watch: Watch,
) -> None:
    images, other = [make_image(10) for _ in range(3)], watch.cluster.nodes[1]
    push(other, "policy", *images)
    before = watch.holder()
    with psycopg.connect(watch.cluster.database) as lock:
        lock.execute("SELECT 1 FROM repositories WHERE name = 'policy' FOR NO KEY UPDATE")
        # As old as it has to be, so that only the lock keeps the first node from it.
        watch.cluster.rows(
            "INSERT INTO lifecycle_policies (repository_id, policy, waits_since) "
            "SELECT id, %s, 0 FROM repositories WHERE name = 'policy'",
            policy(rule(1)),
        )
        wait_until(lambda: bool(watch.backends(wait="Lock")))
        watch.signal(signal.SIGSTOP)
    wait_until(lambda: bool(watch.backends(state="idle in transaction")))
    (asleep,) = watch.backends(state="idle in transaction")
    # What the server does after 15 seconds.
    watch.cluster.rows("SELECT pg_terminate_backend(%s)", asleep)
    other.ecr().delete_lifecycle_policy(repositoryName="policy")
    watch.end_lease()
    wait_until(lambda: watch.holder() != before)

    watch.signal(signal.SIGCONT)

    with watch.first.http() as http:
        wait_until(lambda: http.get("/readyz").status_code == 200)
    for image in images:
        pull(watch.first, "policy", image)
    assert watch.holder() != before


def test_upload_that_another_node_took_over_is_not_spoilt_by_a_node_that_wakes_up(
    watch: Watch,
) -> None:
    other, content = watch.cluster.nodes[1], some_bytes(3 * MIB, "taken over")
    push(other, "upload")
    with watch.first.http() as http:
        location = start_upload(http, "upload")
    with Wire(watch.first) as wire:
        wire.head("PATCH", location, {"Content-Length": len(content)})
        wire.send(b"x" * MIB)
        wait_until(lambda: bool(watch.cluster.rows("SELECT 1 FROM uploads WHERE claim <> ''")))
        watch.signal(signal.SIGSTOP)
        watch.cluster.rows("UPDATE uploads SET claim_until = 0")
        with other.http() as http:
            sent = http.patch(location, content=content, headers={"Content-Range": SPAN})
            stored = finish_upload(http, location, content)

        watch.signal(signal.SIGCONT)
        wire.send(b"x" * (len(content) - MIB))
        late = wire.answer()

    assert (sent.status_code, stored.status_code) == (202, 201), (sent.text, stored.text)
    assert (late.status, late.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    for node in watch.cluster.nodes:
        with node.http() as http:
            http.follow_redirects = True
            assert pull_blob(http, "upload", digest_of(content)) == content
    assert watch.cluster.problems() == []
