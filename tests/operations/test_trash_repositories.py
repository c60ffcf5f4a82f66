"""Deleted repositories: gone at once, and back whole, under the old name or another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecrate.domain.errors import (
    InvalidParameter,
    LayerNotFound,
    LimitExceeded,
    RepositoryAlreadyExists,
    RepositoryNotFound,
    TrashNotFound,
    UploadNotFound,
)
from ecrate.domain.names import Digest, RegistryRef, RepositoryRef
from ecrate.domain.repositories import Repository, TagMutability
from ecrate.domain.trash import Origin
from ecrate.operations import images, layers, policies, repositories, tagging, trash
from ecrate.operations.collection import TRASH_BATCH, collect
from ecrate.operations.core import Limits
from ecrate.operations.lifecycle import run_lifecycle_policies
from tests.support.core import DAY, HOUR, START, Bench
from tests.support.images import make_image
from tests.support.lifecycle_bench import WEEK_OLD, count_rows, evaluated_at, put
from tests.support.policies import PULLING, allow, policy
from tests.support.pushing import make_index
from tests.support.trash import (
    collect_all,
    delete,
    delete_repository,
    digests,
    items,
    readable,
    restore,
    restore_repository,
)

WEEK = 7 * DAY
OPEN = policy(allow(*PULLING, Principal="*"))


def names(bench: Bench) -> list[str]:
    page = repositories.list_repositories(bench.core, bench.caller, bench.caller.registry)
    return [one.ref.name for one in page.repositories]


def test_deleted_repository_is_gone_at_once(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    bench.push(one, image, "v1")
    two = bench.create("two")

    delete_repository(bench, one)

    assert names(bench) == ["two"]
    with pytest.raises(RepositoryNotFound):
        bench.images(one)
    assert not layers.mount_layer(bench.core, bench.caller, two, image.layers[0].digest, None)


def test_deleted_repository_leaves_its_place_to_another(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(repositories_per_registry=1))
    delete_repository(bench, bench.create("one"))

    bench.create("one")

    assert names(bench) == ["one"]


def test_trash_lists_what_was_deleted(bench: Bench, one: RepositoryRef) -> None:
    bench.push(one, make_image(10))
    bench.clock.advance(HOUR)
    deleted_id = delete_repository(bench, one)

    (found,) = trash.list_trashed_repositories(bench.core, Origin())

    assert (found.id, found.ref, found.image_count) == (deleted_id, one, 1)
    assert (found.deleted_at, found.kept_until) == (START + HOUR, START + HOUR + WEEK)


@pytest.mark.parametrize("name", [None, "another"], ids=["old-name", "other-name"])
def test_restored_repository_is_as_it_was(bench: Bench, name: str | None) -> None:
    one = bench.create(
        "one", tag_mutability=TagMutability("IMMUTABLE"), resource_tags=(("team", "a"),)
    )
    image = make_image(10, 20)
    bench.push(one, image, "v1", "v2")
    policies.set_repository_policy(bench.core, bench.caller, one, OPEN, force=False)
    before, listed = _describe(bench, one), bench.images(one)
    delete_repository(bench, one)
    bench.clock.advance(WEEK - 1)
    collect_all(bench)

    ref = restore_repository(bench, one, name)

    after = _describe(bench, ref)
    assert (after.id, after.tag_mutability, after.image_count) == (
        before.id,
        before.tag_mutability,
        1,
    )
    assert ref == bench.ref(name or "one")
    assert bench.images(ref) == listed
    assert readable(bench, ref, image)
    assert tagging.list_tags_for_resource(bench.core, bench.caller, ref) == [("team", "a")]
    assert policies.get_repository_policy(bench.core, bench.caller, ref) == OPEN
    assert items(bench) == []


def _describe(bench: Bench, ref: RepositoryRef) -> Repository:
    (found,) = repositories.describe_repositories(bench.core, bench.caller, [ref])
    return found


def test_restored_repository_keeps_what_it_holds(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    bench.push(one, image)
    delete_repository(bench, one)
    restore_repository(bench, one)

    bench.clock.advance(2 * WEEK)
    collect_all(bench)

    assert readable(bench, one, image)


def test_restored_repository_begins_to_wait_for_its_lifecycle_policy(
    bench: Bench, one: RepositoryRef
) -> None:
    digest = bench.push(one, make_image(10))
    put(bench, one, WEEK_OLD)
    delete_repository(bench, one)
    bench.clock.advance(WEEK - 1)
    run_lifecycle_policies(bench.core)
    restore_repository(bench, one)
    bench.clock.advance(1)
    run_lifecycle_policies(bench.core)
    kept, before = digests(bench, one), evaluated_at(bench, one)
    bench.clock.advance(HOUR)

    run_lifecycle_policies(bench.core)

    assert (kept, before) == ([digest], None)
    assert digests(bench, one) == []


def test_lifecycle_policy_rests_in_the_trash(bench: Bench, one: RepositoryRef) -> None:
    bench.push(one, make_image(10))
    put(bench, one, WEEK_OLD)
    bench.clock.advance(WEEK)
    delete_repository(bench, one)
    bench.clock.advance(HOUR)
    run_lifecycle_policies(bench.core)

    (found,) = trash.list_trashed_repositories(bench.core, Origin())

    assert found.image_count == 1


def test_restore_under_a_name_that_is_taken_changes_nothing(
    bench: Bench, one: RepositoryRef
) -> None:
    delete_repository(bench, one)
    bench.create("one")

    with pytest.raises(RepositoryAlreadyExists):
        restore_repository(bench, one)

    assert items(bench) == ["one"]
    assert restore_repository(bench, one, "two") == bench.ref("two")


def test_restore_under_a_name_that_is_none(bench: Bench, one: RepositoryRef) -> None:
    delete_repository(bench, one)

    with pytest.raises(InvalidParameter, match="repositoryName"):
        restore_repository(bench, one, "No Name")


def test_restore_takes_the_one_deleted_last(bench: Bench) -> None:
    ids = []
    for _ in range(3):
        ids.append(delete_repository(bench, bench.create("one")))
        bench.clock.advance(1)

    restored = trash.restore_repository(bench.core, bench.ref("one"))

    assert restored.id == ids[-1]


def test_restore_takes_the_one_that_is_named_by_its_id(bench: Bench) -> None:
    ids = [delete_repository(bench, bench.create("one")) for _ in range(3)]

    restored = trash.restore_repository(bench.core, bench.ref("one"), repository_id=ids[1])

    assert restored.id == ids[1]


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param(RepositoryRef(RegistryRef("123456789012", "us-east-1"), "two"), id="name"),
        pytest.param(RepositoryRef(RegistryRef("123456789012", "eu-west-1"), "one"), id="region"),
        pytest.param(RepositoryRef(RegistryRef("222222222222", "us-east-1"), "one"), id="account"),
        pytest.param(RepositoryRef(RegistryRef("trash", ""), "1"), id="trash"),
    ],
)
def test_restore_finds_what_is_meant_only(
    bench: Bench, one: RepositoryRef, ref: RepositoryRef
) -> None:
    delete_repository(bench, one)

    with pytest.raises(TrashNotFound):
        restore_repository(bench, ref)


def test_restore_after_its_time_finds_nothing(bench: Bench, one: RepositoryRef) -> None:
    delete_repository(bench, one)
    bench.clock.advance(WEEK)

    with pytest.raises(TrashNotFound):
        restore_repository(bench, one)

    assert items(bench) == []


def test_restore_keeps_to_the_quota(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(repositories_per_registry=1))
    one = bench.create("one")
    delete_repository(bench, one)
    bench.create("two")

    with pytest.raises(LimitExceeded, match="maximum allowed number of repositories"):
        restore_repository(bench, one)

    assert items(bench) == ["one"]


def test_upload_ends_with_its_repository_for_good(bench: Bench, one: RepositoryRef) -> None:
    upload_id = bench.begin(one, b"begun")
    delete_repository(bench, one)
    restore_repository(bench, one)

    with pytest.raises(UploadNotFound):
        bench.complete(one, upload_id)

    bench.clock.advance(HOUR)
    collect_all(bench)
    assert bench.files() == set()


def test_download_url_is_dead_while_its_repository_is(bench: Bench, one: RepositoryRef) -> None:
    image = make_image(10)
    bench.push(one, image)
    url = layers.get_download_url_for_layer(bench.core, bench.caller, one, image.layers[0].digest)
    delete_repository(bench, one)
    bench.create("one")

    with pytest.raises(LayerNotFound):
        layers.find_layer_to_download(bench.core, url.seal)


def test_page_of_a_deleted_repository_does_not_go_on_in_another(
    bench: Bench, one: RepositoryRef
) -> None:
    bench.push(one, make_image(10))
    bench.push(one, make_image(10))
    _, position = images.list_images(
        bench.core, bench.caller, one, status="ANY", storage="ANY", after=None, limit=1
    )
    delete_repository(bench, one)
    bench.create("one")

    with pytest.raises(InvalidParameter, match="nextToken"):
        images.list_images(
            bench.core, bench.caller, one, status="ANY", storage="ANY", after=position, limit=1
        )


def test_images_deleted_before_come_back_to_the_repository_that_does(
    bench: Bench, one: RepositoryRef
) -> None:
    image = make_image(10)
    digest = bench.push(one, image, "v1")
    delete(bench, one, digest)
    delete_repository(bench, one)
    listed = items(bench)
    ref = restore_repository(bench, one, "two")

    restore(bench, ref, digest)

    assert listed == ["one", f"one@{digest}"]
    assert digests(bench, ref) == [digest]
    assert readable(bench, ref, image)


@pytest.mark.parametrize(
    ("seconds", "is_kept"), [pytest.param(-1, True, id="before"), pytest.param(0, False, id="at")]
)
def test_trash_keeps_a_repository_for_its_time(
    bench: Bench, one: RepositoryRef, seconds: float, *, is_kept: bool
) -> None:
    image = make_image(10)
    bench.push(one, image, "v1")
    bench.clock.advance(HOUR)
    delete(bench, one, bench.push(one, make_image(10)))
    delete_repository(bench, one)
    bench.clock.advance(WEEK + seconds)
    collect_all(bench)
    bench.clock.advance(HOUR)

    collect_all(bench)

    assert bool(bench.files()) == is_kept


def test_nothing_is_left_of_what_the_trash_let_go(bench: Bench, one: RepositoryRef) -> None:
    child = make_image(10)
    bench.push(one, child, "v1")
    bench.put(one, make_index(child), ["all"])
    delete(bench, one, bench.push(one, make_image(10)))
    put(bench, one, WEEK_OLD)
    delete_repository(bench, one)
    bench.clock.advance(WEEK)

    collect_all(bench)

    for table in ("repositories", "images", "layers", "tags", "manifests", "blobs", "trash_bins"):
        assert (table, count_rows(bench, table)) == (table, 0)


def test_trash_lets_go_of_a_repository_in_batches(bench: Bench, one: RepositoryRef) -> None:
    with bench.writing() as tx:
        tx.many(
            "INSERT INTO images (repository_id, digest, media_type, size, pushed_at, "
            "manifest_size) VALUES (1, ?, '', 0, 0, 0)",
            [(f"sha256:{number:064x}",) for number in range(2 * TRASH_BATCH + 50)],
        )
        tx.run("UPDATE repositories SET image_count = ?", 2 * TRASH_BATCH + 50)
    delete_repository(bench, one)
    bench.clock.advance(WEEK)

    rounds = collect_all(bench)

    assert [done.trash for done in rounds] == [TRASH_BATCH, TRASH_BATCH, 51, 0]


def test_many_repositories_go_in_one_batch(bench: Bench) -> None:
    for number in range(5):
        delete_repository(bench, bench.create(f"r{number}"))
    bench.clock.advance(WEEK)

    collected = collect(bench.core)

    assert (collected.trash, count_rows(bench, "repositories")) == (5, 0)


def test_repository_that_the_collector_is_at_does_not_come_back(
    bench: Bench, one: RepositoryRef
) -> None:
    with bench.writing() as tx:
        tx.many(
            "INSERT INTO images (repository_id, digest, media_type, size, pushed_at, "
            "manifest_size) VALUES (1, ?, '', 0, 0, 0)",
            [(f"sha256:{number:064x}",) for number in range(2 * TRASH_BATCH + 50)],
        )
    delete_repository(bench, one)
    bench.clock.advance(WEEK)
    collect(bench.core)
    bench.clock.now = START

    with pytest.raises(TrashNotFound):
        restore_repository(bench, one)


def test_nothing_gets_into_a_trash_that_is_off(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(trash_kept=0))
    one = bench.create("one")
    bench.push(one, make_image(10))

    delete_repository(bench, one)

    assert items(bench) == []
    with pytest.raises(TrashNotFound):
        restore_repository(bench, one)


@pytest.mark.parametrize(
    ("origin", "left"),
    [
        pytest.param(Origin(), [], id="all"),
        pytest.param(Origin("123456789012"), [], id="account"),
        pytest.param(Origin("222222222222"), ["one", "two"], id="other-account"),
        pytest.param(
            Origin(ref=RepositoryRef(RegistryRef("123456789012", "us-east-1"), "one")),
            ["two"],
            id="name",
        ),
    ],
)
def test_empty_gives_up_what_is_meant(bench: Bench, origin: Origin, left: list[str]) -> None:
    for name in ("one", "two"):
        delete_repository(bench, bench.create(name))

    count = trash.empty_trash(bench.core, origin)

    assert count == (2 - len(left), 0)
    assert items(bench) == left


def test_emptied_trash_is_garbage_at_once(bench: Bench, one: RepositoryRef) -> None:
    bench.push(one, make_image(10))
    delete_repository(bench, one)
    trash.empty_trash(bench.core, Origin())

    collect_all(bench)
    bench.clock.advance(HOUR)
    collect_all(bench)

    assert bench.files() == set()


def test_blob_of_a_deleted_repository_is_kept_for_another(bench: Bench, one: RepositoryRef) -> None:
    image, two = make_image(10), bench.create("two")
    bench.push(one, image)
    bench.push(two, image)
    delete_repository(bench, one)
    bench.clock.advance(WEEK)

    collect_all(bench)
    bench.clock.advance(HOUR)
    collect_all(bench)

    assert readable(bench, two, image)
    assert digests(bench, two) == [Digest(image.digest)]
