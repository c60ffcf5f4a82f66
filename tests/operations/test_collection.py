"""The collector: what it takes away, when, and what it never takes."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from ecrate.domain.errors import LayerNotFound, UploadNotFound
from ecrate.domain.layers import MIN_PART_SIZE
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.operations import deletions, repositories
from ecrate.operations.claims import ClaimedRow
from ecrate.operations.collection import (
    BATCH,
    Collected,
    collect,
    collect_strays,
    take_collector_lease,
)
from ecrate.operations.core import Limits
from ecrate.operations.uploads import LayerWriter
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import digest_of, make_image

CONTENT = b"the layer"
DIGEST = digest_of(CONTENT)


def let_lapse(bench: Bench) -> Collected:
    """Wait for what nobody needs to lapse, and collect."""
    bench.clock.advance(DAY + 1)
    return collect(bench.core)


def test_collect_spares_a_layer_in_its_grace_period(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    bench.clock.advance(DAY)

    collected = collect(bench.core)

    assert collected == Collected()
    assert bench.has(one, DIGEST)


def test_collect_takes_a_layer_that_no_image_needs(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)

    collected = let_lapse(bench)

    assert collected == Collected(links=1, blobs=1)
    assert not bench.has(one, DIGEST)


def test_collect_spares_what_an_image_needs(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10, 20)
    bench.push(one, image)

    collected = let_lapse(bench)

    assert collected == Collected()
    assert {bench.read(one, blob.digest) for blob in image.blobs} == {
        blob.content for blob in image.blobs
    }


def test_collect_takes_layers_a_grace_period_after_their_image(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limits=Limits(trash_kept=0))
    one = bench.create("one")
    image = make_image(10, 20)
    digest = bench.push(one, image)
    bench.clock.advance(10 * DAY)
    deletions.batch_delete_image(bench.core, bench.caller, one, [ImageId(digest)])

    before = collect(bench.core)
    after = let_lapse(bench)

    assert before == Collected()
    assert after == Collected(links=3, blobs=3)


def test_collect_spares_a_layer_that_another_image_needs(bench: Bench, one: RepositoryRef) -> None:
    image, again = make_image(10), make_image(20)
    shared = image.layers[0]
    digest = bench.push(one, image)
    bench.push(one, type(again)(again.config, (shared,)))
    deletions.batch_delete_image(bench.core, bench.caller, one, [ImageId(digest)])

    collected = let_lapse(bench)

    assert collected == Collected(links=1, blobs=1)
    assert bench.read(one, shared.digest) == shared.content


def test_collect_spares_bytes_that_another_repository_links(
    bench: Bench, one: RepositoryRef
) -> None:
    two = bench.create("two")
    bench.store(one, CONTENT)
    bench.clock.advance(DAY)
    bench.store(two, CONTENT)
    bench.clock.advance(1)

    collected = collect(bench.core)

    assert collected.links == 1
    assert not bench.has(one, DIGEST)
    assert bench.read(two, DIGEST) == CONTENT


@pytest.mark.parametrize(
    ("hours", "is_kept"),
    [pytest.param(0.5, False, id="fresh"), pytest.param(2, True, id="fading")],
)
def test_check_begins_a_new_grace_period(
    bench: Bench, one: RepositoryRef, hours: float, *, is_kept: bool
) -> None:
    bench.store(one, CONTENT)
    bench.clock.advance(hours * HOUR)
    bench.has(one, DIGEST)
    bench.clock.advance(DAY + 1 - hours * HOUR)

    collect(bench.core)

    assert bench.has(one, DIGEST) == is_kept


@pytest.mark.parametrize(("seconds", "is_kept"), [(15, False), (45, True)])
def test_check_begins_a_new_grace_period_however_short_it_is(
    make_bench: Callable[..., Bench], seconds: float, *, is_kept: bool
) -> None:
    bench = make_bench(limits=Limits(layer_grace=60))
    one = bench.create("one")
    bench.store(one, CONTENT)
    bench.clock.advance(seconds)
    bench.has(one, DIGEST)
    bench.clock.advance(61 - seconds)

    collect(bench.core)

    assert bench.has(one, DIGEST) == is_kept


def test_upload_of_a_layer_that_is_there_begins_a_new_grace_period(
    bench: Bench, one: RepositoryRef
) -> None:
    bench.store(one, CONTENT)
    bench.clock.advance(DAY)
    with pytest.raises(Exception, match="already exists"):
        bench.store(one, CONTENT)
    bench.clock.advance(HOUR)

    collect(bench.core)

    assert bench.has(one, DIGEST)


def test_collect_takes_all_of_a_deleted_repository(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(trash_kept=0))
    one = bench.create("one")
    bench.push(one, make_image(10, 20), "v1")
    bench.begin(one, b"begun")
    repositories.delete_repository(bench.core, bench.caller, one, force=True)

    condemned = collect(bench.core)
    bench.clock.advance(HOUR)
    deleted = collect(bench.core)

    assert condemned == Collected(trash=5, blobs=3)
    assert deleted == Collected(files=4)
    assert bench.files() == set()


def test_collect_keeps_bytes_in_quarantine(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    let_lapse(bench)
    bench.clock.advance(HOUR - 1)

    before = collect(bench.core), len(bench.files())
    bench.clock.advance(1)
    after = collect(bench.core), len(bench.files())

    assert before == (Collected(), 1)
    assert after == (Collected(files=1), 0)


def test_collect_deletes_the_bytes_it_condemned_and_no_newer_ones(
    bench: Bench, one: RepositoryRef
) -> None:
    bench.store(one, CONTENT)
    (old,) = bench.files()
    let_lapse(bench)
    bench.store(one, CONTENT)
    bench.clock.advance(HOUR)

    collected = collect(bench.core)

    assert collected == Collected(files=1)
    assert old not in bench.files()
    assert bench.read(one, DIGEST) == CONTENT


def test_collect_deletes_bytes_that_were_brought_twice_at_once(
    bench: Bench, one: RepositoryRef
) -> None:
    two = bench.create("two")
    bench.store(one, CONTENT)
    bench.store(two, CONTENT)

    collected = collect(bench.core)

    assert collected == Collected(files=1)
    assert len(bench.files()) == 1
    assert bench.read(two, DIGEST) == CONTENT


def test_collect_ends_an_upload_that_is_idle(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.clock.advance(DAY + 1)

    collected = collect(bench.core)
    bench.clock.advance(HOUR)
    collect(bench.core)

    assert collected == Collected(uploads=1)
    assert bench.files() == set()
    with pytest.raises(UploadNotFound):
        bench.complete(one, upload_id, DIGEST)


def test_collect_spares_an_upload_that_goes_on(bench: Bench, one: RepositoryRef) -> None:
    first = bytes(MIN_PART_SIZE)
    upload_id = bench.begin(one, first)
    bench.clock.advance(DAY)
    bench.send(one, upload_id, len(first), CONTENT)
    bench.clock.advance(DAY)

    collect(bench.core)

    assert bench.complete(one, upload_id) == digest_of(first + CONTENT)


def test_collect_spares_a_slow_upload_however_short_an_idle_one_is_kept(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limits=Limits(upload_idle=60))
    one = bench.create("one")
    upload_id = bench.begin(one)
    with LayerWriter(bench.core, bench.caller, one, upload_id) as writer:
        for letter in CONTENT:
            bench.clock.advance(40)
            writer.write(bytes([letter]))
            collect(bench.core)
        writer.commit()

    assert bench.complete(one, upload_id) == DIGEST


def test_collect_forgets_a_completed_upload_after_an_hour(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, CONTENT)
    bench.complete(one, upload_id, DIGEST)
    bench.clock.advance(HOUR)
    collect(bench.core)
    within = bench.complete(one, upload_id, DIGEST)
    bench.clock.advance(1)

    collect(bench.core)

    assert within == DIGEST
    with pytest.raises(UploadNotFound):
        bench.complete(one, upload_id, DIGEST)
    assert bench.has(one, DIGEST)


def test_collect_settles_a_batch_at_a_time(bench: Bench, one: RepositoryRef) -> None:
    for _ in range(BATCH + 1):
        bench.begin(one)

    first = let_lapse(bench)
    second = collect(bench.core)

    assert (first.uploads, first.is_idle) == (BATCH, False)
    assert (second.uploads, second.is_idle) == (1, True)


def test_collect_deletes_bytes_that_are_gone_already(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    let_lapse(bench)
    (key,) = bench.files()
    bench.blobs.delete(key)
    bench.clock.advance(HOUR)

    collected = collect(bench.core)

    assert collected == Collected(files=1)
    assert collect(bench.core) == Collected()


def test_collect_strays_deletes_old_bytes_without_a_row(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    upload_id = bench.begin(one, b"begun")
    stray = _stray(bench, b"left by a crash")
    for path in bench.folder.rglob("*-*-*-*-*"):
        os.utime(path, (bench.clock.now, bench.clock.now))
    bench.clock.advance(DAY + 1)

    count = collect_strays(bench.core)

    assert count == 1
    assert stray not in bench.files()
    assert upload_id in bench.files()
    assert bench.read(one, DIGEST) == CONTENT


def _stray(bench: Bench, content: bytes) -> str:
    key = bench.core.new_id()
    file = bench.blobs.open_upload(key, ClaimedRow(bench.core, key), is_new=True, wait=0)
    file.write(content)
    file.close()
    bench.blobs.commit(key, b"")
    return key


def test_collect_strays_spares_young_bytes(bench: Bench) -> None:
    stray = _stray(bench, b"about to get its row")
    path = next(bench.folder.rglob(stray))
    os.utime(path, (bench.clock.now, bench.clock.now))
    bench.clock.advance(DAY)

    count = collect_strays(bench.core)

    assert count == 0
    assert bench.files() == {stray}


def test_collect_strays_spares_bytes_in_quarantine(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    (key,) = bench.files()
    os.utime(next(bench.folder.rglob(key)), (bench.clock.now, bench.clock.now))
    let_lapse(bench)

    count = collect_strays(bench.core)

    assert count == 0
    assert bench.files() == {key}


def test_collector_lease_is_one_holders(bench: Bench) -> None:
    first = take_collector_lease(bench.core, "first")

    second = take_collector_lease(bench.core, "second")

    assert (first, second) == (True, False)


@pytest.mark.parametrize(
    ("renewed", "is_taken"),
    [pytest.param(False, True, id="lapsed"), pytest.param(True, False, id="renewed")],
)
def test_collector_lease_passes_on_after_a_minute(
    bench: Bench, *, renewed: bool, is_taken: bool
) -> None:
    take_collector_lease(bench.core, "first")
    bench.clock.advance(40)
    holder = "first" if renewed else "second"
    take_collector_lease(bench.core, holder)
    bench.clock.advance(21)

    taken = take_collector_lease(bench.core, "third")

    assert taken == is_taken


@pytest.mark.parametrize(
    ("seconds", "is_taken"),
    [pytest.param(30, False, id="a-little"), pytest.param(DAY, True, id="much")],
)
def test_collector_lease_passes_on_when_the_clock_is_set_back(
    bench: Bench, seconds: float, *, is_taken: bool
) -> None:
    take_collector_lease(bench.core, "first")
    bench.clock.advance(-seconds)

    taken = take_collector_lease(bench.core, "second")

    assert taken == is_taken


def test_find_layer_after_its_link_lapsed_fails(
    bench: Bench, one: RepositoryRef, make_bench: Callable[..., Bench]
) -> None:
    bench.store(one, CONTENT)
    let_lapse(bench)

    with pytest.raises(LayerNotFound):
        make_bench().read(one, DIGEST)
