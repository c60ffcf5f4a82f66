"""What an operator is told of the collector's work, and blobs back from quarantine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecrate.domain.errors import GarbageNotFound, LayerNotFound, RepositoryNotFound
from ecrate.domain.garbage import (
    Backlog,
    Explanation,
    GarbageBacklog,
    LinkBacklog,
    TrashBacklog,
    UploadBacklog,
)
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.operations import garbage
from ecrate.operations.collection import collect, take_collector_lease
from tests.support.core import DAY, HOUR, START, Bench
from tests.support.images import digest_of, make_image
from tests.support.trash import collect_all, delete, delete_repository, restore

CONTENT = b"the layer"
DIGEST = Digest(digest_of(CONTENT))
WEEK = 7 * DAY


@pytest.fixture
def other(make_bench: Callable[..., Bench]) -> Bench:
    """The same data as another worker has it."""
    return make_bench()


def backlog(bench: Bench) -> Backlog:
    return garbage.describe_backlog(bench.core)[1]


def explain(bench: Bench, digest: Digest = DIGEST) -> Explanation:
    return garbage.explain_blob(bench.core, digest)


def quarantine(bench: Bench, ref: RepositoryRef) -> None:
    """Store the layer and let it come into quarantine."""
    bench.store(ref, CONTENT)
    bench.clock.advance(DAY + 1)
    collect(bench.core)


def test_backlog_of_nothing(bench: Bench) -> None:
    work, waiting = garbage.describe_backlog(bench.core)

    assert work is None
    assert waiting == Backlog(
        trash=TrashBacklog(0, 0, 0, None, None, 0),
        links=LinkBacklog(0, 0),
        uploads=UploadBacklog(0, 0),
        unlinked_blobs=0,
        quarantine=GarbageBacklog(0, 0, 0, None),
    )


def test_backlog_counts_links_and_uploads_by_their_age(bench: Bench, one: RepositoryRef) -> None:
    bench.push(one, make_image(10))
    bench.store(one, b"old")
    bench.begin(one, b"old")
    bench.clock.advance(DAY + 1)
    bench.store(one, b"young")
    bench.begin(one, b"young")

    waiting = backlog(bench)

    assert waiting.links == LinkBacklog(in_grace=1, lapsed=1)
    assert waiting.uploads == UploadBacklog(open=2, idle=1)


def test_backlog_counts_the_trash(bench: Bench, one: RepositoryRef) -> None:
    shared, image = make_image(10), make_image(20)
    two, three = bench.create("two"), bench.create("three")
    for ref in (one, two):
        bench.push(ref, shared)
    bench.push(three, image)
    delete(bench, one, Digest(shared.digest))
    bench.clock.advance(HOUR)
    delete_repository(bench, three)

    waiting = backlog(bench)

    size = sum(len(blob.content) for blob in image.blobs)
    # The trash is not all that keeps what is in a grace period, or shared.
    assert waiting.trash == TrashBacklog(1, 1, size, START + WEEK, START + HOUR + WEEK, 0)


def test_backlog_counts_what_is_past_its_time(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    delete(bench, one, digest)
    delete_repository(bench, bench.create("two"))
    bench.clock.advance(WEEK)

    waiting = backlog(bench)

    assert (waiting.trash.repositories, waiting.trash.images, waiting.trash.past_time) == (0, 0, 2)


def test_backlog_counts_blobs_that_lost_a_link(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    with bench.writing() as tx:
        tx.run("DELETE FROM layers")
        tx.run("INSERT INTO unlinked_blobs (blob_id) SELECT id FROM blobs")

    assert backlog(bench).unlinked_blobs == 1


def test_backlog_counts_the_quarantine(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)
    removed_at = bench.clock.now
    before = backlog(bench).quarantine
    bench.clock.advance(HOUR)

    after = backlog(bench).quarantine

    assert before == GarbageBacklog(1, len(CONTENT), 0, removed_at + HOUR)
    assert after == GarbageBacklog(1, len(CONTENT), 1, removed_at + HOUR)


def test_work_is_counted_from_the_lease_on(bench: Bench, one: RepositoryRef) -> None:
    delete(bench, one, bench.push(one, make_image(10)))
    take_collector_lease(bench.core, "me")
    bench.clock.advance(WEEK)
    collect_all(bench)
    bench.clock.advance(HOUR)
    collect_all(bench)

    work, _ = garbage.describe_backlog(bench.core)

    assert work is not None
    assert (work.holder, work.since) == ("me", START)
    assert (work.trash, work.links, work.files) == (1, 4, 2)
    assert work.bytes > 10


@pytest.mark.parametrize(
    ("holder", "count"), [pytest.param("me", 1, id="same"), pytest.param("you", 0, id="other")]
)
def test_work_is_counted_anew_for_a_new_holder(
    bench: Bench, one: RepositoryRef, holder: str, count: int
) -> None:
    take_collector_lease(bench.core, "me")
    quarantine(bench, one)
    take_collector_lease(bench.core, holder)

    work, _ = garbage.describe_backlog(bench.core)

    assert work is not None
    assert (work.holder, work.links) == (holder, count)


def test_explain_names_the_images_that_need_a_blob(bench: Bench, one: RepositoryRef) -> None:
    image, two = make_image(10), bench.create("two")
    bench.push(one, image)
    bench.push(two, image)
    digest = Digest(image.layers[0].digest)
    delete(bench, two, Digest(image.digest))

    told = explain(bench, digest)

    assert (told.state, told.size, told.stored_at, told.link_count) == ("NEEDED", 10, START, 2)
    needed, linked = told.links
    assert (needed.ref, needed.image_count, needed.lapses_at) == (one, 1, None)
    assert needed.images == [Digest(image.digest)]
    assert (linked.ref, linked.image_count, linked.lapses_at) == (two, 0, START + DAY)
    (keeper,) = told.keepers
    assert (keeper.ref, keeper.digest, keeper.kept_until) == (
        two,
        Digest(image.digest),
        START + WEEK,
    )


def test_explain_names_some_of_many_images(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    for number in range(12):
        annotated = image.manifest.replace("{", f'{{"annotations": {{"n": "{number}"}}, ', 1)
        for blob in image.blobs:
            if not bench.has(one, blob.digest):
                bench.store(one, blob.content)
        bench.put(one, annotated)

    (link,) = explain(bench, Digest(image.layers[0].digest)).links

    assert (link.image_count, len(link.images)) == (12, 10)


def test_explain_tells_a_blob_in_its_grace_period(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)

    told = explain(bench)

    assert (told.state, told.links[0].lapses_at) == ("LINKED", START + DAY)


def test_explain_tells_a_blob_of_a_deleted_image(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    delete(bench, one, bench.push(one, image))
    bench.clock.advance(DAY + 1)
    collect_all(bench)

    told = explain(bench, Digest(image.layers[0].digest))

    assert (told.state, told.links) == ("TRASHED", [])
    assert [keeper.kept_until for keeper in told.keepers] == [START + WEEK]


def test_explain_tells_a_blob_of_a_deleted_repository(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    bench.push(one, image)
    delete_repository(bench, one)

    told = explain(bench, Digest(image.layers[0].digest))

    assert told.state == "TRASHED"
    assert [(keeper.ref, keeper.digest) for keeper in told.keepers] == [(one, None)]


def test_explain_tells_a_blob_that_nothing_links(bench: Bench, one: RepositoryRef) -> None:
    bench.store(one, CONTENT)
    with bench.writing() as tx:
        tx.run("DELETE FROM layers")

    assert explain(bench).state == "UNLINKED"


def test_explain_tells_a_blob_in_quarantine(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)

    told = explain(bench)

    (key,) = bench.files()
    (bytes_,) = told.quarantined
    now = bench.clock.now
    assert (told.state, told.size) == ("QUARANTINED", None)
    assert (bytes_.key, bytes_.size, bytes_.removed_at, bytes_.goes_at) == (key, 9, now, now + HOUR)


def test_explain_tells_a_blob_that_is_not_there(bench: Bench) -> None:
    assert explain(bench).state == "UNKNOWN"


def test_restored_blob_is_a_layer(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)
    two = bench.create("two")

    lapses_at = garbage.restore_layer(bench.core, two, DIGEST)

    assert bench.read(two, DIGEST.text) == CONTENT
    assert not bench.has(one, DIGEST.text)
    assert lapses_at == bench.clock.now + DAY
    bench.clock.advance(DAY)
    collect_all(bench)
    assert bench.read(two, DIGEST.text) == CONTENT
    bench.clock.advance(1)
    collect(bench.core)
    assert explain(bench).state == "QUARANTINED"


def test_restored_blob_may_have_been_pushed_again(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)
    two = bench.create("two")
    bench.store(two, CONTENT)

    garbage.restore_layer(bench.core, one, DIGEST)
    bench.clock.advance(HOUR)
    collect_all(bench)

    assert bench.read(one, DIGEST.text) == bench.read(two, DIGEST.text) == CONTENT
    assert len(bench.files()) == 1


def test_restore_of_bytes_that_are_deleted(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)
    bench.clock.advance(HOUR)
    collect(bench.core)

    with pytest.raises(GarbageNotFound, match=DIGEST.text):
        garbage.restore_layer(bench.core, one, DIGEST)


def test_restore_of_bytes_that_a_disk_lost(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)
    (lost,) = bench.files()
    bench.blobs.delete(lost)

    with pytest.raises(GarbageNotFound):
        garbage.restore_layer(bench.core, one, DIGEST)


def test_restore_into_a_repository_that_is_not_there(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)

    with pytest.raises(RepositoryNotFound):
        garbage.restore_layer(bench.core, bench.ref("none"), DIGEST)

    assert explain(bench).state == "QUARANTINED"


def test_restore_comes_too_late_for_the_collector(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    quarantine(bench, one)
    other.clock.now = bench.clock.now + HOUR
    bench.database.before_write = lambda: collect(other.core)

    with pytest.raises(GarbageNotFound):
        garbage.restore_layer(bench.core, one, DIGEST)


def test_collector_does_not_delete_what_is_restored_meanwhile(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    quarantine(bench, one)
    other.clock.now = bench.clock.now + HOUR
    other.database.before_write = lambda: garbage.restore_layer(bench.core, one, DIGEST)

    collected = collect(other.core)

    assert collected.files == 0
    assert bench.read(one, DIGEST.text) == CONTENT


def test_bytes_that_the_collector_is_at_are_not_restored(
    bench: Bench, one: RepositoryRef, other: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine(bench, one)
    other.clock.now = bench.clock.now + HOUR

    def restore_first(key: str, _: bytes) -> None:
        with pytest.raises(GarbageNotFound):
            garbage.restore_layer(bench.core, one, DIGEST)
        deleted.append(key)

    deleted: list[str] = []
    monkeypatch.setattr(other.blobs, "delete", restore_first)

    collect(other.core)

    assert len(deleted) == 1


def test_restored_image_takes_its_blobs_out_of_the_trash(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    digest = bench.push(one, image)
    delete(bench, one, digest)
    restore(bench, one, digest)

    told = explain(bench, Digest(image.layers[0].digest))

    assert (told.state, told.keepers) == ("NEEDED", [])


def test_restored_layer_cannot_be_read_elsewhere(bench: Bench, one: RepositoryRef) -> None:
    quarantine(bench, one)
    garbage.restore_layer(bench.core, bench.create("two"), DIGEST)

    with pytest.raises(LayerNotFound):
        bench.read(one, DIGEST.text)
