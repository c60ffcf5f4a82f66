"""Two requests, or a request and the collector, at once: one comes between the other's steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecrate.domain.errors import (
    ImageNotFound,
    InvalidLayer,
    InvalidLayerPart,
    LayerAlreadyExists,
    UploadBusy,
    UploadNotFound,
)
from ecrate.domain.layers import MIN_PART_SIZE
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.operations import deletions, images, repositories, uploads
from ecrate.operations.collection import collect
from ecrate.operations.core import Limits
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import digest_of, make_image
from tests.support.postgres import ENGINES

pytestmark = pytest.mark.parametrize("engine", ENGINES)

CONTENT = b"the layer"
DIGEST = digest_of(CONTENT)
OTHER_DIGEST = digest_of(b"other")


@pytest.fixture
def other(make_bench: Callable[..., Bench], bench: Bench) -> Bench:
    """The same data as another worker has it, at the same time of day."""
    made = make_bench()
    made.clock.advance(bench.clock.now - made.clock.now)
    return made


def test_check_does_not_promise_what_the_collector_took_meanwhile(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    bench.store(one, CONTENT)
    bench.clock.advance(2 * HOUR)
    other.clock.advance(DAY + 1)
    bench.database.before_write = lambda: collect(other.core)

    is_there = bench.has(one, DIGEST)

    assert not is_there


def test_check_keeps_from_the_collector_what_it_promised(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    bench.store(one, CONTENT)
    bench.clock.advance(DAY + 1)
    other.clock.advance(DAY + 1)

    is_there = bench.has(one, DIGEST)
    collect(other.core)

    assert is_there
    assert bench.read(one, DIGEST) == CONTENT


def test_complete_overtaken_by_its_retry_gives_the_same_answer(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one, CONTENT)
    retried: list[str] = []
    bench.blobs.after_commit = lambda: retried.append(other.complete(one, upload_id, DIGEST))

    first = bench.complete(one, upload_id, DIGEST)

    assert [first] == retried == [DIGEST]
    assert collect(bench.core).files == 0
    assert bench.read(one, DIGEST) == CONTENT


def test_complete_overtaken_by_its_retry_tells_both_that_the_layer_existed(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    bench.store(one, CONTENT)
    upload_id = bench.begin(one, CONTENT)
    retried: list[type[Exception]] = []

    def retry() -> None:
        with pytest.raises(LayerAlreadyExists) as caught:
            other.complete(one, upload_id, DIGEST)
        retried.append(caught.type)

    bench.blobs.after_commit = retry

    with pytest.raises(LayerAlreadyExists):
        bench.complete(one, upload_id, DIGEST)

    assert retried == [LayerAlreadyExists]
    assert bench.read(one, DIGEST) == CONTENT


@pytest.mark.parametrize("count", [2, 8])
def test_complete_in_many_threads_at_once_gives_one_answer(
    bench: Bench, one: RepositoryRef, make_bench: Callable[..., Bench], count: int
) -> None:
    upload_id = bench.begin(one, CONTENT)
    benches = [make_bench() for _ in range(count)]
    barrier = threading.Barrier(count)

    def complete(at: Bench) -> str:
        barrier.wait()
        return at.complete(one, upload_id, DIGEST)

    for made in benches:
        made.blobs.patience = 10
    with ThreadPoolExecutor(count) as threads:
        answers = list(threads.map(complete, benches))

    assert answers == [DIGEST] * count
    assert bench.read(one, DIGEST) == CONTENT


def test_complete_that_was_cut_off_can_be_repeated(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.blobs.after_commit = _power_cut
    with pytest.raises(PowerCutError):
        bench.complete(one, upload_id, DIGEST)

    digest = other.complete(one, upload_id, DIGEST)

    assert digest == DIGEST
    assert other.read(one, DIGEST) == CONTENT


def test_complete_that_was_cut_off_does_not_accept_another_digest(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.blobs.after_commit = _power_cut
    with pytest.raises(PowerCutError):
        bench.complete(one, upload_id, DIGEST)

    with pytest.raises(InvalidLayer):
        other.complete(one, upload_id, OTHER_DIGEST)


class PowerCutError(Exception):
    """The process ended here."""


def _power_cut() -> None:
    raise PowerCutError


def test_complete_that_was_cut_off_leaves_nothing_for_ever(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.blobs.after_commit = _power_cut
    with pytest.raises(PowerCutError):
        bench.complete(one, upload_id, DIGEST)

    other.clock.advance(DAY + 1)
    collect(other.core)
    other.clock.advance(HOUR)
    collect(other.core)

    assert other.files() == set()


@pytest.mark.parametrize("step", ["after_commit", "before_write"])
def test_complete_finds_its_repository_deleted(
    bench: Bench, one: RepositoryRef, other: Bench, step: str
) -> None:
    upload_id = bench.begin(one, CONTENT)

    def delete() -> None:
        repositories.delete_repository(other.core, other.caller, one, force=True)

    setattr(bench.blobs if step == "after_commit" else bench.database, step, delete)

    with pytest.raises(UploadNotFound):
        bench.complete(one, upload_id, DIGEST)

    other.clock.advance(HOUR)
    collect(other.core)
    assert other.files() == set()


def test_complete_finds_its_upload_collected(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one, CONTENT)
    other.clock.advance(DAY + 1)
    bench.blobs.after_commit = lambda: collect(other.core)

    with pytest.raises(UploadNotFound):
        bench.complete(one, upload_id, DIGEST)

    other.clock.advance(HOUR)
    collect(other.core)
    assert other.files() == set()


def test_uploads_of_one_digest_at_once_share_its_bytes(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    two = other.create("two")
    upload_id = bench.begin(one, CONTENT)
    bench.blobs.after_commit = lambda: other.store(two, CONTENT)

    bench.complete(one, upload_id, DIGEST)

    collected = collect(bench.core)
    assert collected.files == 1
    assert len(bench.files()) == 1
    assert bench.read(one, DIGEST) == other.read(two, DIGEST) == CONTENT


def test_uploads_of_one_digest_into_one_repository_at_once_are_both_answered(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.database.before_write = lambda: other.store(one, CONTENT)

    with pytest.raises(LayerAlreadyExists):
        bench.complete(one, upload_id, DIGEST)

    assert bench.read(one, DIGEST) == CONTENT


def test_upload_of_what_is_condemned_meanwhile_brings_its_own_bytes(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    bench.store(one, CONTENT)
    upload_id = bench.begin(one, CONTENT)
    other.clock.advance(DAY)
    other.send(one, other.begin(one), 0, b"so that time passes for uploads")
    bench.clock.advance(DAY)
    bench.send(one, bench.begin(one), 0, b"x")
    with bench.writing() as tx:
        tx.run("UPDATE uploads SET touched_at = ? WHERE id = ?", bench.clock.now, upload_id)
    other.clock.advance(1)
    bench.database.before_write = lambda: collect(other.core)

    bench.complete(one, upload_id, DIGEST)

    other.clock.advance(HOUR)
    collect(other.core)
    assert bench.read(one, DIGEST) == CONTENT


def test_upload_heals_a_layer_whose_bytes_were_lost(bench: Bench, one: RepositoryRef) -> None:
    two = bench.create("two")
    bench.store(one, CONTENT)
    (lost,) = bench.files()
    bench.blobs.delete(lost)

    bench.store(two, CONTENT)

    assert bench.read(one, DIGEST) == CONTENT
    collect(bench.core)
    assert bench.read(two, DIGEST) == CONTENT


def test_upload_heals_a_layer_whose_bytes_were_cut(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    (cut,) = bench.files()
    next(bench.folder.rglob(cut)).write_bytes(CONTENT[:3])

    with pytest.raises(LayerAlreadyExists):
        bench.store(one, CONTENT)

    assert bench.read(one, DIGEST) == CONTENT
    collect(bench.core)
    assert cut not in bench.files()


def test_layer_known_to_be_lost_is_not_there_until_it_is_sent_again(
    bench: Bench, one: RepositoryRef
) -> None:
    two = bench.create("two")
    bench.store(one, CONTENT)
    bench.store(two, CONTENT)
    with bench.writing() as tx:
        tx.run("UPDATE blobs SET lost_at = ?", bench.clock.now)
    was_there = bench.has(one, DIGEST)

    bench.store(one, CONTENT)

    assert not was_there
    assert bench.read(one, DIGEST) == bench.read(two, DIGEST) == CONTENT


def test_uploads_that_heal_one_layer_at_once_leave_one_copy(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    two, three = bench.create("two"), bench.create("three")
    bench.store(one, CONTENT)
    bench.blobs.delete(next(iter(bench.files())))
    upload_id = bench.begin(two, CONTENT)
    bench.database.before_write = lambda: other.store(three, CONTENT)

    bench.complete(two, upload_id, DIGEST)

    collect(bench.core)
    assert len(bench.files()) == 1
    assert {bench.read(ref, DIGEST) for ref in (one, two, three)} == {CONTENT}


def test_part_waits_for_the_one_that_writes(bench: Bench, one: RepositoryRef, other: Bench) -> None:
    upload_id = bench.begin(one)

    with (
        uploads.LayerWriter(bench.core, bench.caller, one, upload_id),
        pytest.raises(UploadBusy, match=upload_id),
    ):
        other.send(one, upload_id, 0, CONTENT)


def test_part_that_was_overtaken_by_its_retry_is_harmless(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one)
    bench.blobs.before_open = lambda: other.send(one, upload_id, 0, CONTENT)

    last = bench.send(one, upload_id, 0, CONTENT)

    assert last == len(CONTENT) - 1
    assert bench.complete(one, upload_id, DIGEST) == DIGEST


def test_part_that_was_overtaken_by_another_does_not_follow(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    upload_id = bench.begin(one)
    bench.blobs.before_open = lambda: other.send(one, upload_id, 0, b"another")

    with pytest.raises(InvalidLayerPart, match="0 instead of 7"):
        bench.send(one, upload_id, 0, CONTENT)

    assert bench.complete(one, upload_id) == digest_of(b"another")


def test_part_finds_its_upload_completed(bench: Bench, one: RepositoryRef, other: Bench) -> None:
    upload_id = bench.begin(one, bytes(MIN_PART_SIZE))
    bench.blobs.before_open = lambda: other.complete(one, upload_id)

    with pytest.raises(UploadNotFound):
        bench.send(one, upload_id, MIN_PART_SIZE, CONTENT)


def test_part_finds_its_upload_ended(bench: Bench, one: RepositoryRef, other: Bench) -> None:
    upload_id = bench.begin(one)
    bench.database.before_write = lambda: uploads.cancel_layer_upload(
        other.core, other.caller, one, upload_id
    )

    with pytest.raises(UploadNotFound):
        bench.send(one, upload_id, 0, CONTENT)

    bench.clock.advance(HOUR)
    collect(bench.core)
    assert bench.files() == set()


def test_cancel_finds_its_upload_ended(bench: Bench, one: RepositoryRef, other: Bench) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.database.before_write = lambda: other.complete(one, upload_id, DIGEST)

    with pytest.raises(UploadNotFound):
        uploads.cancel_layer_upload(bench.core, bench.caller, one, upload_id)

    assert bench.read(one, DIGEST) == CONTENT


def test_manifest_of_an_image_deleted_meanwhile_is_not_found(
    bench: Bench, one: RepositoryRef, make_bench: Callable[..., Bench]
) -> None:
    other = make_bench(limits=Limits(trash_kept=0))
    digest = bench.push(one, make_image())
    image = images.find_image(bench.core, bench.caller, one, ImageId(digest))
    deletions.batch_delete_image(other.core, other.caller, one, [ImageId(digest)])

    with pytest.raises(ImageNotFound):
        images.read_manifest(bench.core, image)
