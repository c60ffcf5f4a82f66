"""Lifecycle policies carried out: when, on what, and what may come between."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ecrate.domain.errors import (
    LifecyclePolicyPreviewInProgress,
    RepositoryNotFound,
)
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.operations import images, lifecycle, repositories
from ecrate.operations.lifecycle import PreviewPage, run_lifecycle_policies
from ecrate.store import lifecycle as store
from tests.support.core import DAY, HOUR, Bench
from tests.support.images import make_image
from tests.support.lifecycle import ARCHIVE, policy, rule
from tests.support.pushing import make_index

KEEP_ONE = rule(1)
KEEP_ONE_TAGGED = rule(1, "tagged", tagPatternList=["v*"])
WEEK_OLD = rule(1, countType="sinceImagePushed", countNumber=7)
ARCHIVE_WEEK_OLD = rule(1, countType="sinceImagePushed", countNumber=7, action=ARCHIVE)
EXPIRE_ARCHIVED = rule(
    2, countType="sinceImageTransitioned", storageClass="archive", countNumber=90
)
NOTHING = rule(1, "tagged", tagPatternList=["unused"])


def put(bench: Bench, ref: RepositoryRef, *rules: Any) -> None:
    given = parse_lifecycle_policy(policy(*rules))
    lifecycle.put_lifecycle_policy(bench.core, bench.caller, ref, given)


def evaluated_at(bench: Bench, ref: RepositoryRef) -> float | None:
    return lifecycle.get_lifecycle_policy(bench.core, bench.caller, ref).evaluated_at


def run_in_an_hour(bench: Bench, ref: RepositoryRef, *rules: Any) -> None:
    """Put a policy, wait until it is due, and carry out what is."""
    put(bench, ref, *rules)
    bench.clock.advance(HOUR)
    run_lifecycle_policies(bench.core)


def push(bench: Bench, ref: RepositoryRef, *tags: str, subject: Digest | None = None) -> Digest:
    """Push an image, about another if told, and let a day pass."""
    made = make_image(10)
    digest = bench.push(ref, made, *tags) if subject is None else _about(bench, ref, subject)
    bench.clock.advance(DAY)
    return digest


def _about(bench: Bench, ref: RepositoryRef, subject: Digest) -> Digest:
    made = make_image(10)
    for blob in made.blobs:
        bench.store(ref, blob.content)
    document = json.loads(made.manifest)
    document["subject"] = {
        "mediaType": document["mediaType"],
        "digest": subject.text,
        "size": 1,
    }
    return bench.put(ref, json.dumps(document))


def push_index(bench: Bench, ref: RepositoryRef, *tags: str) -> tuple[Digest, Digest]:
    """Push an image and an index of it; give the index's digest and the image's."""
    made = make_image(10)
    child = bench.push(ref, made)
    return bench.put(ref, make_index(made), tags), child


def delete(bench: Bench, ref: RepositoryRef, digest: Digest) -> None:
    images.batch_delete_image(bench.core, bench.caller, ref, [ImageId(digest)])


def digests(bench: Bench, ref: RepositoryRef) -> set[Digest | None]:
    return {one.digest for one in bench.images(ref)}


def storage_of(bench: Bench, ref: RepositoryRef, digest: Digest) -> str:
    (detail,) = images.describe_images(bench.core, bench.caller, ref, [ImageId(digest)])
    return detail.image.storage.status_at(bench.clock.now)


def fill(bench: Bench, ref: RepositoryRef, count: int) -> None:
    """Put rows of so many images into the repository, one pushed a second."""
    with bench.writing() as tx:
        tx.many(
            "INSERT INTO images (repository_id, digest, media_type, size, pushed_at, "
            "manifest_size) SELECT id, ?, '', 0, ?, 0 FROM repositories WHERE name = ?",
            [(f"sha256:{at:064x}", bench.clock.now - count + at, ref.name) for at in range(count)],
        )
        tx.run(
            "UPDATE repositories SET image_count = image_count + ? WHERE name = ?", count, ref.name
        )


def count_rows(bench: Bench, table: str) -> int:
    with bench.reading() as tx:
        row = tx.one(f"SELECT COUNT(*) FROM {table}")  # noqa: S608 - a constant
    assert row is not None
    return int(row[0])


def preview(bench: Bench, ref: RepositoryRef, *rules: Any) -> PreviewPage:
    given = parse_lifecycle_policy(policy(*rules))
    lifecycle.start_lifecycle_policy_preview(bench.core, bench.caller, ref, given)
    return get_preview(bench, ref)


def get_preview(bench: Bench, ref: RepositoryRef, **members: Any) -> PreviewPage:
    options = {"image_ids": None, "tag_status": "ANY", "after": None, "limit": 100, **members}
    return lifecycle.get_lifecycle_policy_preview(bench.core, bench.caller, ref, **options)


def one_before_the_next(bench: Bench, deed: Callable[[], object]) -> Callable[[], None]:
    """Give a deed that puts `deed` before the write that comes behind the next."""

    def wait() -> None:
        bench.database.before_write = deed

    return wait


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


@pytest.fixture
def two_old(bench: Bench, one: RepositoryRef) -> tuple[Digest, Digest]:
    """Two images tagged v1 and v2, each over a week old."""
    found = push(bench, one, "v1"), push(bench, one, "v2")
    bench.clock.advance(7 * DAY)
    return found


def tag(bench: Bench, ref: RepositoryRef, digest: Digest, *tags: str) -> None:
    (image,) = images.describe_images(bench.core, bench.caller, ref, [ImageId(digest)])
    bench.put(ref, images.read_manifest(bench.core, image.image).decode(), tags)


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
        images.record_pull(bench.core, bench.caller, image)

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
    bench.database.before_write = lambda: images.delete_tag(bench.core, bench.caller, one, "v2")

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
    pushed = [push(bench, one, f"v{at}") for at in range(5)]
    put(bench, one, KEEP_ONE)
    bench.clock.advance(HOUR)

    def delete_youngest() -> None:
        delete(bench, one, pushed.pop())
        # What this deletion has used up is before the next write again.
        bench.database.before_write = delete_youngest

    bench.database.before_write = delete_youngest

    with pytest.raises(IndexError):
        run_lifecycle_policies(bench.core)

    assert pushed == []


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


def test_preview_does_nothing_to_images(bench: Bench, one: RepositoryRef) -> None:
    pushed = {push(bench, one), push(bench, one)}

    preview(bench, one, KEEP_ONE)

    assert digests(bench, one) == pushed


def test_preview_holds_as_many_results_as_there_are_images(
    bench: Bench, one: RepositoryRef
) -> None:
    fill(bench, one, 4001)

    page = preview(bench, one, KEEP_ONE)

    last = get_preview(bench, one, after=lifecycle.PreviewPosition(_id(bench, one), 3999))
    assert (page.status, page.expiring_count, len(page.results)) == ("COMPLETE", 4000, 100)
    assert page.next_position is not None
    assert [result.digest for result in last.results] == [f"sha256:{3999:064x}"]
    assert last.next_position is None


def _id(bench: Bench, ref: RepositoryRef) -> str:
    page = get_preview(bench, ref, limit=1)
    assert page.next_position is not None
    return page.next_position.preview_id


def test_preview_is_one_at_a_time(bench: Bench, one: RepositoryRef) -> None:
    refused: list[Exception] = []

    def start_another() -> None:
        with pytest.raises(LifecyclePolicyPreviewInProgress) as caught:
            preview(bench, one, KEEP_ONE)
        refused.append(caught.value)

    bench.database.before_write = one_before_the_next(bench, start_another)

    page = preview(bench, one, KEEP_ONE)

    assert [str(error) for error in refused] == [
        "Lifecycle policy preview is in progress for the repository with name 'one' in the "
        "registry with id '123456789012'"
    ]
    assert page.status == "COMPLETE"


def test_preview_in_progress_has_no_results(bench: Bench, one: RepositoryRef) -> None:
    push(bench, one)
    push(bench, one)
    seen: list[PreviewPage] = []
    bench.database.before_write = one_before_the_next(
        bench, lambda: seen.append(get_preview(bench, one))
    )

    preview(bench, one, KEEP_ONE)

    assert [(page.status, page.results) for page in seen] == [("IN_PROGRESS", [])]


def test_preview_that_breaks_off_has_failed(bench: Bench, one: RepositoryRef) -> None:
    def fail() -> None:
        raise KeyError("broken")

    bench.database.before_write = one_before_the_next(bench, fail)

    with pytest.raises(KeyError):
        preview(bench, one, KEEP_ONE)

    assert get_preview(bench, one).status == "FAILED"
    assert preview(bench, one, KEEP_ONE).status == "COMPLETE"


def test_preview_of_a_server_that_was_killed_has_failed(bench: Bench, one: RepositoryRef) -> None:
    with bench.writing() as tx:
        row = tx.one("SELECT id FROM repositories")
        assert row is not None
        store.insert_preview(tx, row[0], "left", policy(KEEP_ONE), bench.clock.now)

    bench.clock.advance(600)
    before = get_preview(bench, one).status
    bench.clock.advance(1)

    assert (before, get_preview(bench, one).status) == ("IN_PROGRESS", "FAILED")
    assert preview(bench, one, KEEP_ONE).status == "COMPLETE"


def test_preview_ends_with_its_repository(bench: Bench, one: RepositoryRef) -> None:
    push(bench, one)
    push(bench, one)
    bench.database.before_write = one_before_the_next(
        bench,
        lambda: repositories.delete_repository(bench.core, bench.caller, one, force=True),
    )

    with pytest.raises(RepositoryNotFound):
        preview(bench, one, KEEP_ONE)

    assert count_rows(bench, "lifecycle_preview_results") == 0


def test_preview_expires_after_a_day(bench: Bench, one: RepositoryRef) -> None:
    push(bench, one)
    push(bench, one)
    preview(bench, one, KEEP_ONE)
    bench.clock.advance(DAY)
    before = get_preview(bench, one)

    bench.clock.advance(1)

    after = get_preview(bench, one)
    assert (before.status, len(before.results)) == ("COMPLETE", 1)
    assert (after.status, after.results, after.next_position) == ("EXPIRED", [], None)


def test_run_drops_the_results_of_old_previews(bench: Bench, one: RepositoryRef) -> None:
    fill(bench, one, 2002)
    preview(bench, one, KEEP_ONE)
    bench.clock.advance(DAY)
    run_lifecycle_policies(bench.core)
    before = count_rows(bench, "lifecycle_preview_results")
    bench.clock.advance(1)

    run_lifecycle_policies(bench.core)
    between = count_rows(bench, "lifecycle_preview_results")
    run_lifecycle_policies(bench.core)

    assert (before, between) == (2001, 1)
    assert count_rows(bench, "lifecycle_preview_results") == 0
    assert get_preview(bench, one).status == "EXPIRED"
