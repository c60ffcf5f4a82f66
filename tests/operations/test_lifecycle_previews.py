"""Previews of lifecycle policies: one at a time, complete or failed, and kept for a day."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecrate.domain.errors import (
    LifecyclePolicyPreviewInProgress,
    RepositoryNotFound,
)
from ecrate.domain.names import RepositoryRef
from ecrate.operations import lifecycle, repositories
from ecrate.operations.lifecycle import PreviewPage, run_lifecycle_policies
from ecrate.store import lifecycle as store
from tests.support.core import DAY, Bench
from tests.support.lifecycle import policy, rule
from tests.support.lifecycle_bench import (
    KEEP_ONE,
    count_rows,
    digests,
    fill,
    get_preview,
    preview,
    push,
)


def one_before_the_next(bench: Bench, deed: Callable[[], object]) -> Callable[[], None]:
    """Give a deed that puts `deed` before the write that comes behind the next."""

    def wait() -> None:
        bench.database.before_write = deed

    return wait


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

    (error,) = refused
    assert str(error) == (
        "Lifecycle policy preview is in progress for the repository with name 'one' in the "
        "registry with id '123456789012'"
    )
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


def test_preview_that_takes_too_long_gives_way_to_another(bench: Bench, one: RepositoryRef) -> None:
    push(bench, one, "v1")
    push(bench, one, "v2")

    def start_another() -> None:
        bench.clock.advance(601)
        preview(bench, one, rule(7))

    bench.database.before_write = one_before_the_next(bench, start_another)

    page = preview(bench, one, KEEP_ONE)

    assert page.status == "COMPLETE"
    assert [result.rule_priority for result in page.results] == [7]


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
