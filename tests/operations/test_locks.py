"""Locked repositories: nothing is deleted from them, and all else goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecrate.domain.errors import AccessDenied, RepositoryLocked, RepositoryNotFound
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.principals import anonymous
from ecrate.operations import deletions, layers, repositories
from tests.support.core import DAY, REGISTRY, Bench
from tests.support.images import digest_of, make_image
from tests.support.lifecycle_bench import (
    ARCHIVE_WEEK_OLD,
    WEEK_OLD,
    push,
    run_in_an_hour,
    storage_of,
)
from tests.support.trash import delete_repository, digests, items

LAYER = b"the layer"

Deletion = Callable[[Bench, RepositoryRef, Digest], object]


def lock(bench: Bench, ref: RepositoryRef, *, is_locked: bool = True) -> None:
    repositories.lock_repository(bench.core, ref, is_locked=is_locked)


def delete_images(bench: Bench, ref: RepositoryRef, image_id: ImageId) -> None:
    deletions.batch_delete_image(bench.core, bench.caller, ref, [image_id])


DELETIONS: dict[str, Deletion] = {
    "repository": lambda bench, ref, _: repositories.delete_repository(
        bench.core, bench.caller, ref, force=False
    ),
    "repository-by-force": lambda bench, ref, _: delete_repository(bench, ref),
    "image-by-digest": lambda bench, ref, digest: delete_images(bench, ref, ImageId(digest)),
    "image-by-tag": lambda bench, ref, _: delete_images(bench, ref, ImageId(tag="v1")),
    "tag": lambda bench, ref, _: deletions.delete_tag(bench.core, bench.caller, ref, "v1"),
    "layer": lambda bench, ref, _: layers.delete_layer(
        bench.core, bench.caller, ref, digest_of(LAYER)
    ),
}


@pytest.mark.parametrize("deletion", DELETIONS.values(), ids=DELETIONS)
def test_nothing_is_deleted_from_a_locked_repository(
    bench: Bench, one: RepositoryRef, deletion: Deletion
) -> None:
    digest = bench.push(one, make_image(10), "v1", "v2")
    bench.store(one, LAYER)
    lock(bench, one)

    with pytest.raises(RepositoryLocked, match="locked against deletion"):
        deletion(bench, one, digest)

    assert bench.images(one) == [ImageId(digest, "v1"), ImageId(digest, "v2")]
    assert bench.read(one, digest_of(LAYER)) == LAYER


@pytest.mark.parametrize("deletion", DELETIONS.values(), ids=DELETIONS)
def test_lock_is_not_revealed_to_whom_may_not_delete(
    bench: Bench, one: RepositoryRef, deletion: Deletion
) -> None:
    digest = bench.push(one, make_image(10), "v1", "v2")
    bench.store(one, LAYER)
    lock(bench, one)
    bench.caller = anonymous(REGISTRY)

    with pytest.raises(AccessDenied):
        deletion(bench, one, digest)


def test_unlocked_repository_can_be_deleted(bench: Bench, one: RepositoryRef) -> None:
    lock(bench, one)
    lock(bench, one, is_locked=False)

    delete_repository(bench, one)

    assert items(bench) == ["one"]


def test_tags_move_in_a_locked_repository(bench: Bench, one: RepositoryRef) -> None:
    old = bench.push(one, make_image(10), "v1")
    lock(bench, one)

    new = bench.push(one, make_image(10), "v1")

    assert bench.images(one) == [ImageId(old), ImageId(new, "v1")]


def test_lifecycle_policy_expires_nothing_in_a_locked_repository(
    bench: Bench, one: RepositoryRef
) -> None:
    digest = push(bench, one)
    lock(bench, one)
    bench.clock.advance(7 * DAY)

    run_in_an_hour(bench, one, WEEK_OLD)

    assert digests(bench, one) == [digest]


def test_lifecycle_policy_archives_in_a_locked_repository(bench: Bench, one: RepositoryRef) -> None:
    digest = push(bench, one)
    lock(bench, one)
    bench.clock.advance(7 * DAY)

    run_in_an_hour(bench, one, ARCHIVE_WEEK_OLD)

    assert storage_of(bench, one, digest) == "ARCHIVED"


def test_lock_of_a_repository_that_is_not_there(bench: Bench) -> None:
    with pytest.raises(RepositoryNotFound):
        lock(bench, bench.ref("none"))


def test_list_gives_the_locked_ones(bench: Bench) -> None:
    bench.create("one")
    for name in ("c", "b"):
        lock(bench, bench.create(name * 2))

    locked = repositories.list_locked_repositories(bench.core)

    assert locked == [bench.ref("bb"), bench.ref("cc")]
