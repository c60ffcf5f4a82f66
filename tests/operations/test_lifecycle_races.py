"""Lifecycle policies carried out while something comes between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.operations import deletions, images, lifecycle, repositories
from ecrate.operations.core import Limits
from ecrate.operations.lifecycle import run_lifecycle_policies
from tests.support.core import DAY, HOUR, Bench, nothing
from tests.support.images import make_image
from tests.support.lifecycle import ARCHIVE, rule
from tests.support.lifecycle_bench import (
    ARCHIVE_WEEK_OLD,
    KEEP_ONE,
    KEEP_ONE_TAGGED,
    NOTHING,
    WEEK_OLD,
    delete,
    digests,
    evaluated_at,
    push,
    put,
    storage_of,
    tag,
)
from tests.support.pushing import make_index


@pytest.fixture
def two_old(bench: Bench, one: RepositoryRef) -> tuple[Digest, Digest]:
    """Two images tagged v1 and v2, each over a week old."""
    found = push(bench, one, "v1"), push(bench, one, "v2")
    bench.clock.advance(7 * DAY)
    return found


def test_run_spares_an_image_that_is_tagged_meanwhile(
    bench: Bench, one: RepositoryRef, two_old: tuple[Digest, Digest]
) -> None:
    bench.clock.advance(HOUR)
    put(bench, one, WEEK_OLD)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: tag(bench, one, two_old[0], "keep")

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == {two_old[0]}


def test_run_spares_an_image_that_is_pulled_meanwhile(
    bench: Bench, one: RepositoryRef, two_old: tuple[Digest, Digest]
) -> None:
    put(bench, one, rule(1, countType="sinceImagePulled", countNumber=7, action=ARCHIVE))
    bench.clock.advance(HOUR)

    def pull() -> None:
        image = images.find_image(bench.core, bench.caller, one, ImageId(two_old[0]))
        images.record_pull(bench.core, bench.caller, one, image)

    bench.database.before_write = pull

    run_lifecycle_policies(bench.core)

    assert [storage_of(bench, one, digest) for digest in two_old] == ["ACTIVE", "ARCHIVED"]


def test_run_spares_an_image_that_an_index_comes_to_list(bench: Bench, one: RepositoryRef) -> None:
    made = make_image(10)
    child = bench.push(one, made)
    bench.clock.advance(8 * DAY)
    put(bench, one, WEEK_OLD)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: bench.put(one, make_index(made), ["all"])

    run_lifecycle_policies(bench.core)

    assert child in digests(bench, one)
    assert len(digests(bench, one)) == 2


@pytest.mark.parametrize("rules", [[KEEP_ONE], [KEEP_ONE_TAGGED]], ids=["any", "tagged"])
def test_run_keeps_as_many_as_it_should_when_one_is_deleted_meanwhile(
    bench: Bench, one: RepositoryRef, two_old: tuple[Digest, Digest], rules: list[Any]
) -> None:
    put(bench, one, *rules)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: delete(bench, one, two_old[1])

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == {two_old[0]}
    assert evaluated_at(bench, one) == bench.clock.now


def test_run_keeps_as_many_as_it_should_when_one_loses_its_tag_meanwhile(
    bench: Bench, one: RepositoryRef, two_old: tuple[Digest, Digest]
) -> None:
    put(bench, one, KEEP_ONE_TAGGED)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: deletions.delete_tag(bench.core, bench.caller, one, "v2")

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == set(two_old)


def test_run_keeps_as_many_as_it_should_when_one_is_archived_meanwhile(
    bench: Bench, one: RepositoryRef, two_old: tuple[Digest, Digest]
) -> None:
    put(bench, one, KEEP_ONE_TAGGED)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: images.update_image_storage_class(
        bench.core, bench.caller, one, ImageId(two_old[1]), is_archive=True
    )

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == set(two_old)


def test_run_goes_on_when_what_it_kept_gets_another_tag_meanwhile(
    bench: Bench, one: RepositoryRef, two_old: tuple[Digest, Digest]
) -> None:
    put(bench, one, KEEP_ONE_TAGGED)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: tag(bench, one, two_old[1], "latest")

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == {two_old[1]}


def test_run_leaves_it_to_the_next_time_when_images_go_each_time_it_tries(
    bench: Bench, one: RepositoryRef
) -> None:
    kept = {push(bench, one, "v1"), push(bench, one, "v2")}
    going = [push(bench, one, f"w{at}") for at in range(3)]
    put(bench, one, KEEP_ONE)
    bench.clock.advance(HOUR)

    def delete_youngest() -> None:
        delete(bench, one, going.pop())
        bench.database.before_write = delete_youngest if going else nothing

    bench.database.before_write = delete_youngest

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == kept
    assert evaluated_at(bench, one) == bench.clock.now


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(
            lambda bench, ref: lifecycle.delete_lifecycle_policy(bench.core, bench.caller, ref),
            id="deleted",
        ),
        pytest.param(lambda bench, ref: put(bench, ref, NOTHING), id="replaced"),
    ],
)
def test_run_stops_when_the_policy_is_taken_back(
    bench: Bench,
    one: RepositoryRef,
    two_old: tuple[Digest, Digest],
    deed: Callable[[Bench, RepositoryRef], object],
) -> None:
    put(bench, one, WEEK_OLD)
    bench.clock.advance(DAY)
    bench.database.before_write = lambda: deed(bench, one)

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == set(two_old)


def test_run_spares_the_repository_that_takes_the_place_of_another(
    bench: Bench, one: RepositoryRef, two_old: tuple[Digest, Digest]
) -> None:
    put(bench, one, WEEK_OLD)
    bench.clock.advance(DAY)
    kept: list[Digest] = []

    def replace() -> None:
        repositories.delete_repository(bench.core, bench.caller, one, force=True)
        bench.create(one.name)
        put(bench, one, WEEK_OLD)
        kept.append(bench.push(one, make_image(10)))

    bench.database.before_write = replace

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == set(kept)
    assert digests(bench, one).isdisjoint(two_old)
    assert evaluated_at(bench, one) is None


def test_run_spares_what_is_about_an_image_restored_meanwhile(
    bench: Bench, one: RepositoryRef
) -> None:
    subject = push(bench, one)
    about = push(bench, one, subject=subject)
    change = images.update_image_storage_class
    change(bench.core, bench.caller, one, ImageId(subject), is_archive=True)
    put(bench, one, NOTHING)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: change(
        bench.core, bench.caller, one, ImageId(subject), is_archive=False
    )

    run_lifecycle_policies(bench.core)

    assert storage_of(bench, one, about) == "ACTIVE"


def test_run_spares_what_is_about_an_image_that_it_spares(bench: Bench, one: RepositoryRef) -> None:
    subject = push(bench, one, "v1")
    about = push(bench, one, subject=subject)
    bench.clock.advance(8 * DAY)
    put(bench, one, WEEK_OLD)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: tag(bench, one, subject, "keep")

    run_lifecycle_policies(bench.core)

    assert digests(bench, one) == {subject, about}


def test_run_does_not_archive_what_is_being_restored(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limits=Limits(activation=DAY))
    one = bench.create("one")
    subject = push(bench, one, "v1")
    about = push(bench, one, subject=subject)
    bench.clock.advance(8 * DAY)
    change = images.update_image_storage_class
    change(bench.core, bench.caller, one, ImageId(about), is_archive=True)
    change(bench.core, bench.caller, one, ImageId(about), is_archive=False)
    put(bench, one, ARCHIVE_WEEK_OLD)
    bench.clock.advance(HOUR)

    run_lifecycle_policies(bench.core)

    assert storage_of(bench, one, subject) == "ARCHIVED"
    assert storage_of(bench, one, about) == "ACTIVATING"


def test_run_leaves_a_referrer_that_is_tagged_meanwhile(bench: Bench, one: RepositoryRef) -> None:
    subject = push(bench, one, "v1")
    about = push(bench, one, subject=subject)
    push(bench, one, "v2")
    put(bench, one, KEEP_ONE_TAGGED)
    bench.clock.advance(HOUR)
    bench.database.before_write = lambda: tag(bench, one, about, "mine")

    run_lifecycle_policies(bench.core)

    assert subject not in digests(bench, one)
    assert about in digests(bench, one)
