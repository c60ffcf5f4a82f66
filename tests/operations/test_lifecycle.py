"""Lifecycle policies carried out: when, and on what."""

from __future__ import annotations

from collections.abc import Iterator

from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.operations import images, repositories
from ecrate.operations.lifecycle import run_lifecycle_policies
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import make_image
from tests.support.lifecycle import rule
from tests.support.lifecycle_bench import (
    ARCHIVE_WEEK_OLD,
    EXPIRE_ARCHIVED,
    KEEP_ONE,
    KEEP_ONE_TAGGED,
    NOTHING,
    WEEK_OLD,
    count_rows,
    delete,
    digests,
    evaluated_at,
    fill,
    preview,
    push,
    push_index,
    put,
    run_in_an_hour,
    storage_of,
)


def test_run_waits_a_period_from_putting_a_policy(bench: Bench, one: RepositoryRef) -> None:
    push(bench, one)
    kept = push(bench, one)
    put(bench, one, KEEP_ONE)
    bench.clock.advance(HOUR - 1)

    run_lifecycle_policies(bench.core)
    before = len(digests(bench, one)), evaluated_at(bench, one)
    bench.clock.advance(1)
    run_lifecycle_policies(bench.core)

    assert before == (2, None)
    assert digests(bench, one) == {kept}
    assert evaluated_at(bench, one) == bench.clock.now


def test_run_carries_a_policy_out_once_a_period(bench: Bench, one: RepositoryRef) -> None:
    run_in_an_hour(bench, one, KEEP_ONE)
    first = bench.clock.now
    push(bench, one)
    push(bench, one)
    bench.clock.now = first + HOUR - 1

    run_lifecycle_policies(bench.core)
    before = len(digests(bench, one)), evaluated_at(bench, one)
    bench.clock.advance(1)
    run_lifecycle_policies(bench.core)

    assert before == (2, first)
    assert len(digests(bench, one)) == 1
    assert evaluated_at(bench, one) == first + HOUR


def test_put_lifecycle_policy_of_the_same_text_puts_nothing_off(
    bench: Bench, one: RepositoryRef
) -> None:
    put(bench, one, KEEP_ONE)
    bench.clock.advance(HOUR)
    put(bench, one, KEEP_ONE)

    run_lifecycle_policies(bench.core)

    assert evaluated_at(bench, one) == bench.clock.now


def test_put_lifecycle_policy_of_another_text_begins_anew(bench: Bench, one: RepositoryRef) -> None:
    run_in_an_hour(bench, one, KEEP_ONE)
    put(bench, one, WEEK_OLD)
    bench.clock.advance(HOUR - 1)

    run_lifecycle_policies(bench.core)

    assert evaluated_at(bench, one) is None


def test_run_does_as_the_preview_says(bench: Bench, one: RepositoryRef) -> None:
    for tags in (("v1", "w1"), (), ("w2",), ("v2",), (), ("v3",)):
        push(bench, one, *tags)
    rules = [KEEP_ONE_TAGGED, rule(2, "untagged"), rule(3, countNumber=5)]
    said = {Digest(result.digest) for result in preview(bench, one, *rules).results}
    before = digests(bench, one)

    run_in_an_hour(bench, one, *rules)

    assert len(said) == 3
    assert before - digests(bench, one) == said


def test_run_leaves_a_repository_as_if_images_had_been_deleted(
    bench: Bench, one: RepositoryRef
) -> None:
    push(bench, one, "v1")
    digest = push(bench, one, "v2")

    run_in_an_hour(bench, one, KEEP_ONE)
    delete(bench, one, digest)

    repositories.delete_repository(bench.core, bench.caller, one, force=False)
    assert count_rows(bench, "lifecycle_policies") == 0


def test_run_leaves_other_repositories_alone(bench: Bench, one: RepositoryRef) -> None:
    two = bench.create("two")
    kept = {push(bench, two), push(bench, two)}

    run_in_an_hour(bench, one, KEEP_ONE)

    assert digests(bench, two) == kept


def test_run_takes_an_index_first_and_what_it_lists_the_next_time(
    bench: Bench, one: RepositoryRef
) -> None:
    index, child = push_index(bench, one, "v1")
    bench.clock.advance(8 * DAY)

    run_in_an_hour(bench, one, WEEK_OLD)
    first = digests(bench, one)
    bench.clock.advance(HOUR)
    run_lifecycle_policies(bench.core)

    assert index not in first
    assert first == {child}
    assert digests(bench, one) == set()


def test_run_takes_the_referrers_along(bench: Bench, one: RepositoryRef) -> None:
    subject = push(bench, one, "v1")
    signature = push(bench, one, subject=subject)
    push(bench, one, subject=signature)
    kept = push(bench, one, "v2")
    about_kept = push(bench, one, subject=kept)

    run_in_an_hour(bench, one, KEEP_ONE_TAGGED, rule(2, "untagged"))

    assert digests(bench, one) == {kept, about_kept}


def test_run_takes_what_lost_its_subject_whatever_the_rules(
    bench: Bench, one: RepositoryRef
) -> None:
    subject = push(bench, one)
    push(bench, one, subject=subject)
    elsewhere = push(bench, one, subject=Digest("sha256:" + "0" * 64))
    delete(bench, one, subject)

    run_in_an_hour(bench, one, NOTHING)

    assert digests(bench, one) == {elsewhere}


def test_run_spares_what_has_its_subject_again(bench: Bench, one: RepositoryRef) -> None:
    made = make_image(10)
    subject = bench.push(one, made)
    about = push(bench, one, subject=subject)
    delete(bench, one, subject)
    bench.push(one, made)

    run_in_an_hour(bench, one, NOTHING)

    assert digests(bench, one) == {subject, about}


def test_run_archives_and_expires_in_the_end(bench: Bench, one: RepositoryRef) -> None:
    digest = push(bench, one)
    bench.clock.advance(7 * DAY)

    run_in_an_hour(bench, one, ARCHIVE_WEEK_OLD, EXPIRE_ARCHIVED)
    archived = storage_of(bench, one, digest)
    bench.clock.advance(90 * DAY)
    run_lifecycle_policies(bench.core)
    before = digests(bench, one)
    bench.clock.advance(HOUR)
    run_lifecycle_policies(bench.core)

    assert archived == "ARCHIVED"
    assert before == {digest}
    assert digests(bench, one) == set()


def test_run_does_not_archive_again_what_was_restored(bench: Bench, one: RepositoryRef) -> None:
    digest = push(bench, one)
    bench.clock.advance(7 * DAY)
    run_in_an_hour(bench, one, ARCHIVE_WEEK_OLD)
    images.update_image_storage_class(
        bench.core, bench.caller, one, ImageId(digest), is_archive=False
    )

    run_lifecycle_policies(bench.core)
    bench.clock.advance(HOUR)
    run_lifecycle_policies(bench.core)

    assert storage_of(bench, one, digest) == "ACTIVE"


def test_run_archives_what_is_about_an_archived_image(bench: Bench, one: RepositoryRef) -> None:
    subject = push(bench, one)
    about = push(bench, one, subject=subject)
    images.update_image_storage_class(
        bench.core, bench.caller, one, ImageId(subject), is_archive=True
    )

    run_in_an_hour(bench, one, NOTHING)

    assert storage_of(bench, one, about) == "ARCHIVED"


def test_run_archives_an_index_first(bench: Bench, one: RepositoryRef) -> None:
    index, child = push_index(bench, one)
    bench.clock.advance(8 * DAY)

    run_in_an_hour(bench, one, ARCHIVE_WEEK_OLD)
    first = storage_of(bench, one, index), storage_of(bench, one, child)
    bench.clock.advance(HOUR)
    run_lifecycle_policies(bench.core)

    assert first == ("ARCHIVED", "ACTIVE")
    assert storage_of(bench, one, child) == "ARCHIVED"


def test_run_stops_when_told_to_and_goes_on_another_time(bench: Bench, one: RepositoryRef) -> None:
    fill(bench, one, 120)
    put(bench, one, KEEP_ONE)
    bench.clock.advance(HOUR)
    answers: Iterator[bool] = iter([True, True, False])

    run_lifecycle_policies(bench.core, lambda: next(answers))
    left = len(digests(bench, one)), evaluated_at(bench, one)
    run_lifecycle_policies(bench.core)

    assert left == (120 - 50, None)
    assert len(digests(bench, one)) == 1
    assert evaluated_at(bench, one) == bench.clock.now


def test_run_does_nothing_when_told_to_stop_at_once(bench: Bench, one: RepositoryRef) -> None:
    push(bench, one)
    push(bench, one)
    preview(bench, one, KEEP_ONE)
    put(bench, one, KEEP_ONE)
    bench.clock.advance(DAY)

    run_lifecycle_policies(bench.core, lambda: False)

    assert len(digests(bench, one)) == 2
    assert count_rows(bench, "lifecycle_preview_results") == 1
