"""What is deleted and restored while another worker does something to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecrate.domain.errors import RepositoryAlreadyExists, RepositoryNotFound, TrashNotFound
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.trash import Origin
from ecrate.operations import lifecycle, trash
from ecrate.operations.collection import collect
from ecrate.operations.lifecycle import run_lifecycle_policies
from tests.support.core import DAY, Bench
from tests.support.images import make_image
from tests.support.lifecycle_bench import WEEK_OLD, put
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


@pytest.fixture
def other(make_bench: Callable[..., Bench]) -> Bench:
    """The same data as another worker has it."""
    return make_bench()


def test_restore_of_an_image_comes_too_late_for_the_collector(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    digest = bench.push(one, make_image(10))
    delete(bench, one, digest)
    other.clock.advance(WEEK)
    bench.database.before_write = lambda: collect(other.core)

    with pytest.raises(TrashNotFound):
        restore(bench, one, digest)


def test_collector_comes_too_late_for_an_image(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    image = make_image(10)
    digest = bench.push(one, image)
    delete(bench, one, digest)
    other.clock.advance(WEEK)
    other.database.before_write = lambda: restore(bench, one, digest)

    collected = collect_all(other)

    assert collected[0].trash == 0
    assert readable(bench, one, image)


def test_restore_meets_a_push_of_the_same_image(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    image = make_image(10)
    digest = bench.push(one, image, "v1")
    delete(bench, one, digest)
    bench.database.before_write = lambda: other.push(one, image, "v2")

    (restored,) = restore(bench, one, digest)

    assert restored.was_there
    assert bench.images(one) == [ImageId(digest, "v1"), ImageId(digest, "v2")]


def test_image_restored_twice_at_once_is_restored_once(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    digest = bench.push(one, make_image(10))
    delete(bench, one, digest)
    bench.database.before_write = lambda: restore(other, one, digest)

    with pytest.raises(TrashNotFound):
        restore(bench, one, digest)

    assert digests(bench, one) == [digest]


def test_restore_of_a_repository_comes_too_late_for_the_collector(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    bench.push(one, make_image(10))
    delete_repository(bench, one)
    other.clock.advance(WEEK)
    bench.database.before_write = lambda: collect(other.core)

    with pytest.raises(TrashNotFound):
        restore_repository(bench, one)


def test_collector_comes_too_late_for_a_repository(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    image = make_image(10)
    bench.push(one, image)
    delete_repository(bench, one)
    other.clock.advance(WEEK)
    other.database.before_write = lambda: restore_repository(bench, one)

    collect_all(other)

    assert readable(bench, one, image)


def test_restore_meets_the_creation_of_another(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    delete_repository(bench, one)
    bench.database.before_write = lambda: other.create("one")

    with pytest.raises(RepositoryAlreadyExists):
        restore_repository(bench, one)

    assert items(bench) == ["one"]


def test_push_into_a_repository_that_is_deleted_meanwhile(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    image = make_image(10)
    for blob in image.blobs:
        bench.store(one, blob.content)
    bench.database.before_write = lambda: delete_repository(other, one)

    with pytest.raises(RepositoryNotFound):
        bench.put(one, image.manifest, ["v1"])

    (found,) = trash.list_trashed_repositories(bench.core, Origin())
    assert found.image_count == 0


def test_lifecycle_run_meets_the_deletion_of_its_repository(
    bench: Bench, one: RepositoryRef, other: Bench
) -> None:
    digest = bench.push(one, make_image(10))
    put(bench, one, WEEK_OLD)
    bench.clock.advance(WEEK)
    other.clock.advance(WEEK)
    bench.database.before_write = lambda: delete_repository(other, one)
    run_lifecycle_policies(bench.core)

    restore_repository(bench, one)

    assert digests(bench, one) == [digest]
    assert lifecycle.get_lifecycle_policy(bench.core, bench.caller, one).evaluated_at is None
