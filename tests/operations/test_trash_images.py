"""Deleted images: gone at once, kept unreadable for a while, and back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ecrate.domain.errors import (
    ImageNotFound,
    LayerNotFound,
    LimitExceeded,
    RepositoryNotFound,
    TrashNotFound,
)
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.trash import Origin
from ecrate.operations import images, layers, referrers, trash
from ecrate.operations.collection import TRASH_BATCH, collect
from ecrate.operations.core import Limits
from tests.support.core import DAY, HOUR, START, Bench
from tests.support.images import MadeImage, make_image
from tests.support.lifecycle_bench import WEEK_OLD, run_in_an_hour
from tests.support.pushing import make_index
from tests.support.trash import (
    collect_all,
    delete,
    delete_repository,
    digests,
    items,
    lapse,
    restore,
)

WEEK = 7 * DAY


def image_of(bench: Bench, ref: RepositoryRef, digest: Digest) -> Any:
    (detail,) = images.describe_images(bench.core, bench.caller, ref, [ImageId(digest)])
    return detail.image


def layer_bytes(bench: Bench, ref: RepositoryRef, image: MadeImage) -> list[bytes]:
    return [bench.read(ref, blob.digest) for blob in image.blobs]


def test_deleted_image_is_gone_at_once(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10), "v1")

    delete(bench, one, digest)

    assert bench.images(one) == []
    with pytest.raises(ImageNotFound):
        images.find_image(bench.core, bench.caller, one, ImageId(digest))
    with pytest.raises(ImageNotFound):
        images.find_image(bench.core, bench.caller, one, ImageId(tag="v1"))


def test_deleted_image_leaves_its_place_to_another(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(images_per_repository=1))
    one = bench.create("one")
    delete(bench, one, bench.push(one, make_image(10)))

    digest = bench.push(one, make_image(10))

    assert digests(bench, one) == [digest]


def test_trash_lists_what_was_deleted(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10, 20), "b", "a")
    bench.clock.advance(HOUR)
    delete(bench, one, digest)

    (found,) = trash.list_trashed_images(bench.core, Origin())

    assert (found.ref, found.digest, found.tags) == (one, digest, ("a", "b"))
    assert (found.deleted_at, found.kept_until) == (START + HOUR, START + HOUR + WEEK)
    assert found.size > 30


def test_restored_image_is_as_it_was(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10, 20)
    digest = bench.push(one, image, "v1", "v2")
    before = image_of(bench, one, digest)
    content = images.read_manifest(bench.core, before)
    delete(bench, one, digest)
    lapse(bench)

    (restored,) = restore(bench, one, digest)

    assert (restored.tags, restored.taken_tags, restored.was_there) == (["v1", "v2"], [], False)
    after = image_of(bench, one, digest)
    assert after == before
    assert images.read_manifest(bench.core, after) == content == image.manifest.encode()
    assert layer_bytes(bench, one, image) == [blob.content for blob in image.blobs]
    assert items(bench) == []


def test_restored_image_keeps_its_layers(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    digest = bench.push(one, image)
    delete(bench, one, digest)
    restore(bench, one, digest)

    bench.clock.advance(2 * WEEK)
    collect_all(bench)

    assert layer_bytes(bench, one, image) == [blob.content for blob in image.blobs]


def test_layer_in_the_trash_is_not_readable(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    digest = image.layers[0].digest
    deleted = bench.push(one, image)
    two = bench.create("two")
    url = layers.get_download_url_for_layer(bench.core, bench.caller, one, digest)
    bench.clock.advance(DAY)
    delete(bench, one, deleted)
    lapse(bench)
    bench.clock.now -= 2 * DAY  # so that the URL's time is not over

    assert len(bench.files()) == 2
    assert not bench.has(one, digest)
    assert not layers.mount_layer(bench.core, bench.caller, two, digest, None)
    assert not layers.mount_layer(bench.core, bench.caller, two, digest, "one")
    with pytest.raises(LayerNotFound):
        bench.read(one, digest)
    with pytest.raises(LayerNotFound):
        layers.find_layer_to_download(bench.core, url.seal)


def test_layer_in_the_trash_can_be_pushed_again(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    delete(bench, one, bench.push(one, image))
    lapse(bench)

    bench.store(one, image.layers[0].content)

    assert bench.read(one, image.layers[0].digest) == image.layers[0].content


def test_restore_reports_tags_that_are_taken(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10), "v1", "latest")
    delete(bench, one, digest)
    newer = bench.push(one, make_image(10), "latest")

    (restored,) = restore(bench, one, digest)

    assert (restored.tags, restored.taken_tags) == (["v1"], ["latest"])
    assert bench.images(one) == [ImageId(digest, "v1"), ImageId(newer, "latest")]


def test_restore_of_an_image_pushed_again_gives_it_its_tags(
    bench: Bench, one: RepositoryRef
) -> None:
    image = make_image(10)
    digest = bench.push(one, image, "v1", "v2")
    delete(bench, one, digest)
    bench.push(one, image, "v2", "v3")

    (restored,) = restore(bench, one, digest)

    assert (restored.tags, restored.taken_tags, restored.was_there) == (["v1", "v2"], [], True)
    assert [named.tag for named in bench.images(one)] == ["v1", "v2", "v3"]
    assert items(bench) == []


def test_image_deleted_twice_is_in_the_trash_once(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    for tag in ("v1", "v2"):
        delete(bench, one, bench.push(one, image, tag))
        bench.clock.advance(HOUR)

    (found,) = trash.list_trashed_images(bench.core, Origin())

    assert (found.tags, found.deleted_at) == (("v2",), START + HOUR)
    assert restore(bench, one, found.digest)[0].tags == ["v2"]
    assert layer_bytes(bench, one, image) == [blob.content for blob in image.blobs]


def test_restored_referrer_is_listed_again(bench: Bench, one: RepositoryRef) -> None:
    subject, artifact = make_image(10), make_image(10)
    bench.push(one, subject)
    for blob in artifact.blobs:
        bench.store(one, blob.content)
    about = {"digest": subject.digest, "mediaType": "x", "size": 1}
    document = json.loads(artifact.manifest) | {"subject": about, "annotations": {"a": "b"}}
    referrer = bench.put(one, json.dumps(document))
    delete(bench, one, referrer)
    without, _ = referrers.list_image_referrers(bench.core, bench.caller, one, subject.digest)

    restore(bench, one, referrer)

    found, _ = referrers.list_image_referrers(bench.core, bench.caller, one, subject.digest)
    assert without == []
    assert [(back.digest, back.annotations) for back in found] == [(referrer, {"a": "b"})]


def archive(bench: Bench, ref: RepositoryRef, digest: Digest) -> None:
    images.update_image_storage_class(
        bench.core, bench.caller, ref, ImageId(digest), is_archive=True
    )


def test_archived_image_comes_back_archived(bench: Bench, one: RepositoryRef) -> None:
    child = make_image(10)
    bench.push(one, child)
    index = bench.put(one, make_index(child))
    archive(bench, one, index)
    archive(bench, one, Digest(child.digest))
    delete(bench, one, index)

    restore(bench, one, index)

    for digest in (index, Digest(child.digest)):
        assert image_of(bench, one, digest).storage.status == "ARCHIVED"


def test_index_that_is_restored_takes_its_child_out_of_the_archive(
    bench: Bench, one: RepositoryRef
) -> None:
    child = make_image(10)
    bench.push(one, child)
    index = bench.put(one, make_index(child))
    delete(bench, one, index)
    archive(bench, one, Digest(child.digest))

    restore(bench, one, index)

    status = image_of(bench, one, Digest(child.digest)).storage.status_at(bench.clock.now)
    assert status == "ACTIVE"


@pytest.mark.parametrize(
    ("seconds", "is_kept"), [pytest.param(-1, True, id="before"), pytest.param(0, False, id="at")]
)
def test_trash_keeps_an_image_for_its_time(
    bench: Bench, one: RepositoryRef, seconds: float, *, is_kept: bool
) -> None:
    delete(bench, one, bench.push(one, make_image(10, 20)))
    bench.clock.advance(WEEK + seconds)
    collect_all(bench)
    bench.clock.advance(HOUR)
    collect_all(bench)

    assert bool(bench.files()) == is_kept


def test_restore_after_its_time_finds_nothing(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    delete(bench, one, digest)
    bench.clock.advance(WEEK)

    with pytest.raises(TrashNotFound, match=f"one@{digest}"):
        restore(bench, one, digest)

    assert items(bench) == []


def test_trash_lets_go_of_images_in_batches(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    bench.push(one, image)
    for number in range(TRASH_BATCH + 2):
        document = json.loads(image.manifest) | {"annotations": {"number": str(number)}}
        delete(bench, one, bench.put(one, json.dumps(document)))
    bench.clock.advance(WEEK)

    first, second = collect(bench.core), collect(bench.core)

    assert (first.trash, first.is_idle, second.trash) == (TRASH_BATCH, False, 2)
    assert layer_bytes(bench, one, image) == [blob.content for blob in image.blobs]


def test_nothing_gets_into_a_trash_that_is_off(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(trash_kept=0))
    one = bench.create("one")
    digest = bench.push(one, make_image(10))

    delete(bench, one, digest)

    assert items(bench) == []
    with pytest.raises(TrashNotFound):
        restore(bench, one, digest)


def test_restore_keeps_to_the_quota(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(images_per_repository=1))
    one = bench.create("one")
    digest = bench.push(one, make_image(10))
    delete(bench, one, digest)
    bench.push(one, make_image(10))

    with pytest.raises(LimitExceeded, match="maximum allowed number of images"):
        restore(bench, one, digest)

    assert items(bench) == [f"one@{digest}"]


def test_restore_keeps_to_the_quota_of_tags(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(tags_per_image=2))
    one, image = bench.create("one"), make_image(10)
    digest = bench.push(one, image, "v1", "v2")
    delete(bench, one, digest)
    bench.push(one, image, "v3")

    with pytest.raises(LimitExceeded, match="maximum allowed number of tags"):
        restore(bench, one, digest)


@pytest.mark.parametrize("is_there", [True, False], ids=["emptied", "none"])
def test_restore_finds_images_of_its_repository_only(
    bench: Bench, one: RepositoryRef, *, is_there: bool
) -> None:
    two = bench.create("two")
    digest = bench.push(one, make_image(10))
    if is_there:
        delete(bench, one, digest)

    with pytest.raises(TrashNotFound):
        restore(bench, two, digest)


def test_restore_into_a_repository_that_is_not_there(bench: Bench, one: RepositoryRef) -> None:
    digest = bench.push(one, make_image(10))
    delete(bench, one, digest)
    delete_repository(bench, one)

    with pytest.raises(RepositoryNotFound):
        restore(bench, one, digest)


def test_image_of_a_repository_that_was_made_anew_does_not_come_back_into_it(
    bench: Bench, one: RepositoryRef
) -> None:
    digest = bench.push(one, make_image(10))
    delete(bench, one, digest)
    delete_repository(bench, one)
    bench.create("one")

    with pytest.raises(TrashNotFound):
        restore(bench, one, digest)


def test_image_that_a_lifecycle_rule_expired_can_be_restored(
    bench: Bench, one: RepositoryRef
) -> None:
    image = make_image(10)
    digest = bench.push(one, image, "v1")
    bench.clock.advance(WEEK)
    run_in_an_hour(bench, one, WEEK_OLD)
    gone = digests(bench, one)

    restore(bench, one, digest)

    assert gone == []
    assert bench.images(one) == [ImageId(digest, "v1")]


@pytest.mark.parametrize(
    ("origin", "left"),
    [
        pytest.param(Origin(), [], id="all"),
        pytest.param(Origin("123456789012"), [], id="account"),
        pytest.param(Origin("222222222222"), ["one@a", "one@b", "two@c"], id="other account"),
    ],
)
def test_empty_gives_up_what_is_meant(bench: Bench, origin: Origin, left: list[str]) -> None:
    named = {}
    for name, letter in (("one", "a"), ("one", "b"), ("two", "c")):
        ref = bench.ref(name)
        if letter != "b":
            bench.create(name)
        digest = bench.push(ref, make_image(10))
        delete(bench, ref, digest)
        named[f"{name}@{digest}"] = f"{name}@{letter}"

    count = trash.empty_trash(bench.core, origin)

    assert count == (0, 3 - len(left))
    assert [named[item] for item in items(bench)] == left


def test_empty_gives_up_one_image(bench: Bench, one: RepositoryRef) -> None:
    digest, another = bench.push(one, make_image(10)), bench.push(one, make_image(10))
    delete(bench, one, digest, another)

    count = trash.empty_trash(bench.core, Origin(ref=one), digest)

    assert (count, items(bench)) == ((0, 1), [f"one@{another}"])


def test_emptied_trash_is_garbage_at_once(bench: Bench, one: RepositoryRef) -> None:
    delete(bench, one, bench.push(one, make_image(10)))
    lapse(bench)
    trash.empty_trash(bench.core, Origin())

    collect_all(bench)
    bench.clock.advance(HOUR)
    collect_all(bench)

    assert bench.files() == set()
