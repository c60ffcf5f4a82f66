"""Uploads on an S3 store by several nodes: who writes, what counts, what is left behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from ecrate.blobs.port import Stored
from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.store import S3Blobs
from ecrate.domain.errors import (
    InvalidLayer,
    LayerAlreadyExists,
    StoreUnavailable,
    UploadBusy,
    UploadNotFound,
)
from ecrate.domain.layers import MIB, MIN_PART_SIZE
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.pull_through import Rule
from ecrate.operations import repositories, uploads
from ecrate.operations.claims import CLAIM_SECONDS, ClaimedRow
from ecrate.operations.collection import collect, collect_strays
from ecrate.operations.pull_through.fetches import Waiting
from ecrate.operations.pull_through.images import find_image
from ecrate.operations.pull_through.layers import fetch_layer
from ecrate.operations.pull_through.rules import create_pull_through_cache_rule
from tests.support.core import CALLER, DAY, HOUR, Bench, Clock, InterruptedDatabase
from tests.support.images import digest_of, make_image
from tests.support.proxy import NOT_IMPLEMENTED, answering, once, running_proxy
from tests.support.registry import some_bytes
from tests.support.seaweed import KEY, S3Server
from tests.support.upstream import Gate, make_pull_through, running_upstream

pytestmark = pytest.mark.s3

SMALL = b"a layer of one piece"
PARTS = [some_bytes(size, str(size)) for size in (20 * MIB, 6 * MIB, 3)]
LARGE = b"".join(PARTS)


@pytest.fixture
def address(s3_server: S3Server) -> S3Address:
    """A place in the store."""
    return s3_server.make_address()


@pytest.fixture
def make_node(tmp_path: Path, address: S3Address) -> Iterator[Callable[..., Bench]]:
    """Make nodes that share a database and the store."""
    with contextlib.ExitStack() as opened:

        def make(**options: Any) -> Bench:
            blobs = S3Blobs(address, KEY)
            bench = Bench(tmp_path, clock=Clock(time.time()), options=options, blob_store=blobs)
            opened.callback(bench.close)
            return bench

        yield make


@pytest.fixture
def node(make_node: Callable[[], Bench]) -> Bench:
    return make_node()


@pytest.fixture
def other(make_node: Callable[[], Bench]) -> Bench:
    return make_node()


@pytest.fixture
def ref(node: Bench) -> RepositoryRef:
    """A repository."""
    return node.create("one")


def objects(node: Bench) -> set[str]:
    """Give the keys of all that the store has, unfinished uploads among it."""
    return {key for key, _ in node.core.blobs.list_keys(float("inf"))}


def advance(nodes: list[Bench], seconds: float) -> None:
    for node in nodes:
        node.clock.advance(seconds)


def collect_all(node: Bench) -> set[str]:
    """Collect, let the quarantine pass, collect again; give what is left in the store."""
    collect(node.core)
    node.clock.advance(HOUR)
    collect(node.core)
    return objects(node)


def test_parts_go_to_any_node(node: Bench, other: Bench, ref: RepositoryRef) -> None:
    upload_id = node.begin(ref)
    other.send(ref, upload_id, 0, PARTS[0])
    node.send(ref, upload_id, len(PARTS[0]), PARTS[1])
    other.send(ref, upload_id, len(PARTS[0]) + len(PARTS[1]), PARTS[2])

    digest = node.complete(ref, upload_id, digest_of(LARGE))

    assert other.read(ref, digest) == LARGE
    assert len(collect_all(node)) == 1


def test_small_layer_of_one_node_is_read_on_another(
    node: Bench, other: Bench, ref: RepositoryRef
) -> None:
    digest = node.store(ref, SMALL)

    assert other.read(ref, digest) == SMALL
    assert len(objects(node)) == 1


def test_layer_of_no_bytes_is_stored(node: Bench, other: Bench, ref: RepositoryRef) -> None:
    upload_id = uploads.initiate_layer_upload(node.core, node.caller, ref)

    digest = uploads.complete_layer_upload(
        other.core, other.caller, ref, upload_id, [digest_of(b"")], may_be_empty=True
    )

    assert node.read(ref, digest.text) == b""


def test_part_of_another_writer_is_busy(node: Bench, other: Bench, ref: RepositoryRef) -> None:
    upload_id = node.begin(ref)

    with (
        uploads.LayerWriter(node.core, node.caller, ref, upload_id),
        pytest.raises(UploadBusy, match=upload_id),
    ):
        other.send(ref, upload_id, 0, SMALL)


def test_part_that_was_refused_lets_the_next_one_in(
    node: Bench, other: Bench, ref: RepositoryRef
) -> None:
    upload_id = node.begin(ref)
    with uploads.LayerWriter(node.core, node.caller, ref, upload_id) as writer:
        writer.write(LARGE)

    other.send(ref, upload_id, 0, SMALL)

    assert other.read(ref, other.complete(ref, upload_id)) == SMALL


def test_upload_of_a_node_that_died_is_taken_over(
    node: Bench, other: Bench, ref: RepositoryRef
) -> None:
    upload_id = node.begin(ref, PARTS[0])
    dead = uploads.LayerWriter(node.core, node.caller, ref, upload_id)
    dead.write(b"x" * 30 * MIB)
    with pytest.raises(UploadBusy):
        other.send(ref, upload_id, len(PARTS[0]), PARTS[1])
    other.clock.advance(CLAIM_SECONDS + 1)

    other.send(ref, upload_id, len(PARTS[0]), PARTS[1] + PARTS[2])

    assert other.read(ref, other.complete(ref, upload_id)) == LARGE


def test_writer_that_was_overtaken_changes_nothing(
    node: Bench, other: Bench, ref: RepositoryRef
) -> None:
    upload_id = node.begin(ref, PARTS[0])
    with uploads.LayerWriter(node.core, node.caller, ref, upload_id) as zombie:
        zombie.write(b"z" * 26 * MIB)
        other.clock.advance(CLAIM_SECONDS + 1)
        other.send(ref, upload_id, len(PARTS[0]), PARTS[1])
        zombie.write(b"z" * 26 * MIB)
        with pytest.raises(UploadNotFound):
            zombie.commit()

    other.send(ref, upload_id, len(PARTS[0]) + len(PARTS[1]), PARTS[2])
    assert other.read(ref, other.complete(ref, upload_id)) == LARGE


def test_writer_that_was_overtaken_cannot_count_its_bytes(
    node: Bench, other: Bench, ref: RepositoryRef
) -> None:
    upload_id = node.begin(ref)
    other.clock.advance(CLAIM_SECONDS + 1)
    with uploads.LayerWriter(node.core, node.caller, ref, upload_id) as zombie:
        zombie.write(b"z")
        with uploads.LayerWriter(other.core, other.caller, ref, upload_id) as writer:
            writer.write(SMALL)
            with pytest.raises(UploadNotFound):
                zombie.commit()
            writer.commit()

    assert other.read(ref, other.complete(ref, upload_id)) == SMALL


class PausedBlobs(S3Blobs):
    """Does `after_commit` once, right behind a commit."""

    after_commit: Callable[[], object] = staticmethod(lambda: None)

    @override
    def commit(self, key: str, state: bytes) -> Stored:
        stored = super().commit(key, state)
        deed, self.after_commit = self.after_commit, lambda: None
        deed()
        return stored


def test_complete_that_was_overtaken_by_a_part_does_not_lose_it(
    node: Bench, other: Bench, ref: RepositoryRef, address: S3Address
) -> None:
    upload_id = node.begin(ref, bytes(MIN_PART_SIZE))
    blobs = PausedBlobs(address, KEY)
    node.core = replace(node.core, blobs=blobs)

    def overtake() -> None:
        other.clock.advance(CLAIM_SECONDS + 1)
        other.send(ref, upload_id, MIN_PART_SIZE, SMALL)

    blobs.after_commit = overtake
    with pytest.raises(UploadBusy):
        node.complete(ref, upload_id)

    collect(other.core)
    assert other.read(ref, other.complete(ref, upload_id)) == bytes(MIN_PART_SIZE) + SMALL


def test_writer_that_was_overtaken_is_told_when_it_renews(
    node: Bench, other: Bench, ref: RepositoryRef
) -> None:
    upload_id = node.begin(ref)
    with uploads.LayerWriter(node.core, node.caller, ref, upload_id) as zombie:
        advance([node, other], CLAIM_SECONDS + 1)
        other.send(ref, upload_id, 0, SMALL)
        with pytest.raises(UploadBusy):
            zombie.write(b"z")

    assert other.read(ref, other.complete(ref, upload_id)) == SMALL


def test_slow_writer_keeps_its_claim(node: Bench, other: Bench, ref: RepositoryRef) -> None:
    upload_id = node.begin(ref)
    with uploads.LayerWriter(node.core, node.caller, ref, upload_id) as slow:
        for letter in SMALL:
            advance([node, other], CLAIM_SECONDS * 2 / 3)
            slow.write(bytes([letter]))
        with pytest.raises(UploadBusy):
            other.send(ref, upload_id, 0, b"other")
        slow.commit()

    assert other.read(ref, other.complete(ref, upload_id)) == SMALL


def test_claim_of_a_dead_writer_ends_when_the_clock_is_set_back(
    node: Bench, other: Bench, ref: RepositoryRef
) -> None:
    upload_id = node.begin(ref)
    ClaimedRow(node.core, upload_id).claim(lambda state: state, 0)
    advance([node, other], -3600)

    other.send(ref, upload_id, 0, SMALL)

    assert other.read(ref, other.complete(ref, upload_id)) == SMALL


def test_writers_at_once_take_turns(
    ref: RepositoryRef, node: Bench, make_node: Callable[[], Bench]
) -> None:
    upload_id = node.begin(ref)
    nodes = [make_node() for _ in range(4)]
    barrier = threading.Barrier(4)

    def append(at: Bench) -> None:
        barrier.wait()
        while True:
            with (
                contextlib.suppress(UploadBusy),
                uploads.LayerWriter(at.core, at.caller, ref, upload_id) as writer,
            ):
                writer.write(SMALL)
                writer.commit()
                return

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(append, nodes))

    assert node.read(ref, node.complete(ref, upload_id)) == SMALL * 4


def test_complete_on_all_nodes_at_once_gives_one_answer(
    ref: RepositoryRef, node: Bench, make_node: Callable[[], Bench]
) -> None:
    upload_id = node.begin(ref, *PARTS)
    nodes = [make_node() for _ in range(4)]
    barrier = threading.Barrier(4)

    def complete(at: Bench) -> str:
        barrier.wait()
        while True:
            with contextlib.suppress(UploadBusy):
                return at.complete(ref, upload_id, digest_of(LARGE))

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(complete, nodes))

    assert answers == [digest_of(LARGE)] * 4
    assert node.read(ref, digest_of(LARGE)) == LARGE


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_complete_reads_the_bytes_again_without_a_hash_state(
    node: Bench, other: Bench, ref: RepositoryRef, content: bytes
) -> None:
    upload_id = node.begin(ref, *[content] if content == SMALL else PARTS)
    with node.writing() as tx:
        tx.run("UPDATE uploads SET hash_state = x''")
    with pytest.raises(InvalidLayer):
        node.complete(ref, upload_id, digest_of(b"other"))

    digest = other.complete(ref, upload_id, digest_of(content))

    assert node.read(ref, digest) == content


def test_layer_that_exists_leaves_one_copy(node: Bench, other: Bench, ref: RepositoryRef) -> None:
    node.store(ref, SMALL)

    with pytest.raises(LayerAlreadyExists):
        other.store(ref, SMALL)

    assert collect(node.core).files == 1
    assert len(objects(node)) == 1
    assert node.read(ref, digest_of(SMALL)) == SMALL


def test_layer_whose_object_was_lost_is_healed(node: Bench, ref: RepositoryRef) -> None:
    node.store(ref, SMALL)
    (lost,) = objects(node)
    node.core.blobs.delete(lost)

    node.store(node.create("two"), SMALL)

    assert node.read(ref, digest_of(SMALL)) == SMALL


def cancel(node: Bench, ref: RepositoryRef, upload_id: str) -> None:
    uploads.cancel_layer_upload(node.core, node.caller, ref, upload_id)


def delete_repository(node: Bench, ref: RepositoryRef, _: str) -> None:
    repositories.delete_repository(node.core, node.caller, ref, force=True)


def let_lapse(node: Bench, _: RepositoryRef, __: str) -> None:
    node.clock.advance(DAY + 1)


@pytest.mark.parametrize("end", [cancel, delete_repository, let_lapse])
def test_upload_that_was_ended_leaves_nothing(
    node: Bench, ref: RepositoryRef, end: Callable[[Bench, RepositoryRef, str], None]
) -> None:
    upload_id = node.begin(ref, *PARTS)
    before = objects(node)

    end(node, ref, upload_id)

    assert len(before) == 2
    assert collect_all(node) == set()


def test_upload_that_was_sealed_and_ended_leaves_nothing(
    node: Bench, ref: RepositoryRef, s3_server: S3Server, address: S3Address
) -> None:
    upload_id = node.begin(ref, *PARTS)
    with running_proxy(s3_server.port) as proxy:
        proxy.answers = answering("HEAD", NOT_IMPLEMENTED)
        blobs = S3Blobs(replace(address, endpoint=proxy.endpoint), KEY)
        core, node.core = node.core, replace(node.core, blobs=blobs)
        with pytest.raises(StoreUnavailable):
            node.complete(ref, upload_id)
        node.core = core

    cancel(node, ref, upload_id)

    assert collect_all(node) == set()


def test_strays_go_once_their_upload_is_over(node: Bench, ref: RepositoryRef) -> None:
    kept = node.store(ref, LARGE[: 21 * MIB])
    upload_id = node.begin(ref, SMALL)
    dead = uploads.LayerWriter(node.core, node.caller, ref, upload_id)
    dead.write(b"x" * 30 * MIB)
    dead._file.sync()  # noqa: SLF001
    node.clock.advance(DAY + 1)
    node.has(ref, kept)

    spared = collect_strays(node.core)
    left = collect_all(node)
    removed = collect_strays(node.core)

    assert (spared, removed, len(left)) == (0, 1, 2)
    assert node.read(ref, kept) == LARGE[: 21 * MIB]
    assert len(objects(node)) == 1


def test_store_that_is_away_leaves_the_upload_as_it_was(
    node: Bench, other: Bench, ref: RepositoryRef, s3_server: S3Server, address: S3Address
) -> None:
    upload_id = node.begin(ref, PARTS[0])
    with running_proxy(s3_server.port) as proxy:
        blobs = S3Blobs(replace(address, endpoint=proxy.endpoint), KEY)
        blobs.check()
        proxy.answers = answering("PUT", NOT_IMPLEMENTED)
        node.core = replace(node.core, blobs=blobs)
        with pytest.raises(StoreUnavailable):
            node.send(ref, upload_id, len(PARTS[0]), PARTS[1])

    other.send(ref, upload_id, len(PARTS[0]), PARTS[1] + PARTS[2])

    assert other.read(ref, other.complete(ref, upload_id)) == LARGE


class UncertainDatabase(InterruptedDatabase):
    """Loses the answer to the last of so many `writes`."""

    writes = 1_000_000

    @override
    def write(self) -> Any:
        return self._write()

    @contextlib.contextmanager
    def _write(self) -> Iterator[Any]:
        with super().write() as tx:
            yield tx
        self.writes -= 1
        if self.writes == 0:
            raise StoreUnavailable


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_part_whose_commit_got_no_answer_counts(
    tmp_path: Path, address: S3Address, content: bytes
) -> None:
    node = Bench(tmp_path, engine=UncertainDatabase, blob_store=S3Blobs(address, KEY))
    ref = node.create("one")
    upload_id = node.begin(ref, b"start")
    node.database.writes = 2  # type: ignore[attr-defined]
    with uploads.LayerWriter(node.core, node.caller, ref, upload_id) as writer:
        writer.write(content)
        with pytest.raises(StoreUnavailable):
            writer.commit()

    assert node.read(ref, node.complete(ref, upload_id)) == b"start" + content
    node.close()


def test_complete_whose_answer_from_the_store_is_lost_is_repeated(
    node: Bench, ref: RepositoryRef, s3_server: S3Server, address: S3Address
) -> None:
    upload_id = node.begin(ref, *PARTS)
    with running_proxy(s3_server.port) as proxy:
        proxy.loses = once("POST uploadId")
        blobs = S3Blobs(replace(address, endpoint=proxy.endpoint), KEY)
        node.core = replace(node.core, blobs=blobs)
        digest = node.complete(ref, upload_id)

    assert digest == digest_of(LARGE)
    assert proxy.seen.lost == ["POST uploadId"]


def test_layer_from_upstream_is_fetched_for_all_nodes(
    make_node: Callable[..., Bench], tmp_path: Path
) -> None:
    with running_upstream() as upstream, contextlib.ExitStack() as opened:
        image = upstream.add("app", make_image(21 * MIB), "v1")
        (layer,) = image.layers
        gate = upstream.faults[f"/v2/app/blobs/{layer.digest}"] = Gate(layer.content)
        seams = [make_pull_through(tmp_path / name, claim=20.0) for name in ("one", "two")]
        for seam in seams:
            opened.callback(seam.stop)
        one, two = (make_node(pull_through=seam) for seam in seams)
        rule = Rule("up", upstream.url, None, None, None, None, 0.0, 0.0)
        create_pull_through_cache_rule(one.core, CALLER, CALLER.registry, rule)
        place = one.ref("up/app")
        with pytest.raises(Waiting) as caught:
            find_image(one.core, CALLER, place, ImageId(tag="v1"))
        caught.value.fetches[0].ended.result(30)

        first = fetch_layer(one.core, CALLER, place, layer.digest)
        assert gate.reached.wait(30)
        second = fetch_layer(two.core, CALLER, place, layer.digest)
        gate.open()
        for fetch in (first, second):
            fetch.ended.result(60)

        # The file that grew was the other node's.
        assert [first.error, second.error, second.spool] == [None, None, None]
        assert two.read(place, layer.digest) == layer.content
        assert upstream.count(f"/v2/app/blobs/{layer.digest}") == 1
