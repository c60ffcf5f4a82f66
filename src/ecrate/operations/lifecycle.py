"""Lifecycle policies: put, get, delete, preview, and carrying them out in the background.

Preview and execution judge by one function, `domain.lifecycle.evaluate`. Execution works on a
snapshot, so each batch of deeds proves in its own transaction that what it relies on still
holds: the policy, the image itself, and the images that a count keeps in its stead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ecrate.domain.errors import (
    ImageReferencedByManifestList,
    ImageStorageClassUpdateNotSupported,
    InvalidParameter,
    LifecyclePolicyNotFound,
    LifecyclePolicyPreviewInProgress,
    LifecyclePolicyPreviewNotFound,
)
from ecrate.domain.lifecycle import Evaluation, LifecyclePolicy, Verdict, evaluate
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.operations.audit import record_lifecycle, settle_audit
from ecrate.operations.authorization import open_repository
from ecrate.operations.core import Core
from ecrate.operations.deletions import delete_whole_image
from ecrate.operations.images import note_storage_class
from ecrate.operations.storage_classes import archive_image
from ecrate.store import lifecycle as store
from ecrate.store.database import Transaction
from ecrate.store.images import find_image, find_tagged_image
from ecrate.store.repositories import find_repository, lock_repositories

_LOG: Final = logging.getLogger("ecrate")
LIFECYCLE: Final = "lifecycle"
_DUE: Final = 100
_BATCH: Final = 50
_ROWS: Final = 2000
_TRIES: Final = 3
# What takes longer has been interrupted: an evaluation takes seconds.
_LONGEST_PREVIEW: Final = 600.0


@dataclass(frozen=True, slots=True)
class PreviewPosition:
    """Where a list of results goes on; another preview's results are not gone on with."""

    preview_id: str
    position: int


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """A preview and a page of its results; there are none unless `status` is COMPLETE."""

    text: str
    status: str
    results: Sequence[store.PreviewResult]
    next_position: PreviewPosition | None
    expiring_count: int
    transitioning_count: int


def put_lifecycle_policy(
    core: Core, caller: Caller, ref: RepositoryRef, policy: LifecyclePolicy
) -> None:
    """Put the policy in any other's place. It is first carried out a period later, so that
    there is time to take back a mistake.
    """
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "PutLifecyclePolicy")
        store.put_policy(tx, repository.id, policy.text, core.clock())


def get_lifecycle_policy(core: Core, caller: Caller, ref: RepositoryRef) -> store.StoredPolicy:
    """Raise `LifecyclePolicyNotFound`."""
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "GetLifecyclePolicy")
        return _policy_of(tx, repository)


def delete_lifecycle_policy(core: Core, caller: Caller, ref: RepositoryRef) -> store.StoredPolicy:
    """Give the policy as it was; raises `LifecyclePolicyNotFound`."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "DeleteLifecyclePolicy")
        policy = _policy_of(tx, repository)
        store.delete_policy(tx, repository.id)
        return policy


def _policy_of(tx: Transaction, repository: Repository) -> store.StoredPolicy:
    policy = store.find_policy(tx, repository.id)
    if policy is None:
        raise LifecyclePolicyNotFound(repository.ref.name, repository.ref.registry.id)
    return policy


def start_lifecycle_policy_preview(
    core: Core, caller: Caller, ref: RepositoryRef, policy: LifecyclePolicy | None
) -> str:
    """Evaluate `policy`, or without one the repository's own, and keep the results; give its
    text. They are complete when this returns.

    Raises `LifecyclePolicyNotFound`, `LifecyclePolicyPreviewInProgress`.
    """
    preview_id, now = core.new_id(), core.clock()
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "StartLifecyclePolicyPreview")
        if policy is None:
            policy = parse_lifecycle_policy(_policy_of(tx, repository).text)
        running = store.find_preview(tx, repository.id)
        if running is not None and _status(core, running) == "IN_PROGRESS":
            raise LifecyclePolicyPreviewInProgress(ref.name, ref.registry.id)
        store.insert_preview(tx, repository.id, preview_id, policy.text, now)
    try:
        _fill_preview(core, repository.id, preview_id, policy, now)
    except BaseException:
        with core.database.write() as tx:
            store.finish_preview(tx, preview_id, "FAILED")
        raise
    return policy.text


def judge_images(
    core: Core, caller: Caller, ref: RepositoryRef, policy: LifecyclePolicy
) -> tuple[Evaluation, Mapping[int, int]]:
    """Evaluate a policy and keep nothing: give what it would do now, and the bytes of the images
    concerned by their ids. It takes the permission to start a preview.
    """
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "StartLifecyclePolicyPreview")
        images = store.read_images(tx, repository.id)
        evaluation = evaluate(images, policy.rules, core.clock())
        ids = [verdict.image.id for verdict in evaluation.verdicts]
        return evaluation, store.read_sizes(tx, ids)


def _fill_preview(
    core: Core, repository_id: int, preview_id: str, policy: LifecyclePolicy, now: float
) -> None:
    with core.database.read() as tx:
        images = store.read_images(tx, repository_id)
    verdicts = evaluate(images, policy.rules, now).verdicts
    expiring = sum(verdict.action == "expire" for verdict in verdicts)
    for start in range(0, max(len(verdicts), 1), _ROWS):
        with core.database.write() as tx:
            mine = store.find_preview(tx, repository_id)
            if mine is None or mine.id != preview_id:
                return
            some = verdicts[start : start + _ROWS]
            store.insert_preview_results(tx, preview_id, start + 1, some)
            if start + _ROWS >= len(verdicts):
                store.finish_preview(
                    tx,
                    preview_id,
                    "COMPLETE",
                    expiring=expiring,
                    transitioning=len(verdicts) - expiring,
                )


def _status(core: Core, preview: store.StoredPreview) -> str:
    age = core.clock() - preview.started_at
    if age > core.limits.lifecycle_preview_kept:
        return "EXPIRED"
    if preview.status == "IN_PROGRESS" and age > _LONGEST_PREVIEW:
        return "FAILED"
    return preview.status


def get_lifecycle_policy_preview(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    *,
    image_ids: Sequence[ImageId] | None,
    tag_status: str,
    after: PreviewPosition | None,
    limit: int,
) -> PreviewPage:
    """Give the last preview with a page of its results, oldest image first.

    With `image_ids`, give the results on these images, as far as there are any. Raises
    `LifecyclePolicyPreviewNotFound`.
    """
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "GetLifecyclePolicyPreview")
        preview = store.find_preview(tx, repository.id)
        if preview is None:
            raise LifecyclePolicyPreviewNotFound(ref.name, ref.registry.id)
        if after is not None and after.preview_id != preview.id:
            raise InvalidParameter("nextToken", "Invalid token")  # [A]
        status = _status(core, preview)
        results: list[store.PreviewResult] = []
        if status != "COMPLETE":
            pass
        elif image_ids is not None:
            results = _named_results(tx, repository, preview, image_ids, tag_status)
        else:
            position = 0 if after is None else after.position
            results = store.list_preview_results(tx, preview.id, tag_status, position, limit + 1)
    page = results if image_ids is not None else results[:limit]
    is_last = len(page) == len(results)
    return PreviewPage(
        text=preview.text,
        status=status,
        results=page,
        next_position=None if is_last else PreviewPosition(preview.id, page[-1].position),
        expiring_count=preview.expiring_count,
        transitioning_count=preview.transitioning_count,
    )


def _named_results(
    tx: Transaction,
    repository: Repository,
    preview: store.StoredPreview,
    image_ids: Sequence[ImageId],
    tag_status: str,
) -> list[store.PreviewResult]:
    found: dict[int, store.PreviewResult] = {}
    for image_id in image_ids:
        digest = image_id.digest
        if digest is None:
            image = find_tagged_image(tx, repository.id, image_id.tag or "")
            digest = None if image is None else image.digest
        if digest is None:
            continue
        result = store.find_preview_result(tx, preview.id, digest.text)
        if result is None or (image_id.tag is not None and image_id.tag not in result.tags):
            continue
        if tag_status == "ANY" or (tag_status == "TAGGED") == bool(result.tags):
            found[result.position] = result
    return [found[position] for position in sorted(found)]


class _Outcome(Enum):
    """How far a batch, or a policy, came."""

    DONE = auto()
    # An image that a count keeps is not there any more: evaluate again.
    STALE = auto()
    # The policy is another one by now, or this worker was told to stop.
    OVER = auto()


def _always() -> bool:
    return True


def run_lifecycle_policies(core: Core, may_go_on: Callable[[], bool] = _always) -> None:
    """Carry out the policies that are due, and drop the results of old previews.

    `may_go_on` is asked between two batches. Stopping anywhere loses nothing, and two workers at
    this at once do no harm.
    """
    now = core.clock()
    with core.database.read() as tx:
        due = store.list_due_policies(tx, now - core.limits.lifecycle_every, _DUE)
        preview_id = store.find_old_preview(tx, now - core.limits.lifecycle_preview_kept)
    if preview_id is not None and may_go_on():
        with core.database.write() as tx:
            store.expire_preview(tx, preview_id, _ROWS)
    for policy in due:
        if not may_go_on():
            return
        _carry_out(core, policy, may_go_on)


def _carry_out(core: Core, due: store.DuePolicy, may_go_on: Callable[[], bool]) -> None:
    policy = parse_lifecycle_policy(due.text)
    for _ in range(_TRIES):
        with core.database.read() as tx:
            images = store.read_images(tx, due.repository_id)
        evaluation = evaluate(images, policy.rules, core.clock())
        outcome = _execute(core, due, policy, evaluation, may_go_on)
        if outcome is _Outcome.OVER:
            return
        if outcome is _Outcome.DONE:
            break
    with core.database.write() as tx:
        store.record_evaluation(tx, due, core.clock())


def _execute(
    core: Core,
    due: store.DuePolicy,
    policy: LifecyclePolicy,
    evaluation: Evaluation,
    may_go_on: Callable[[], bool],
) -> _Outcome:
    count = 0
    for batch in _batches([*evaluation.verdicts, *evaluation.strays]):
        if not may_go_on():
            return _Outcome.OVER
        settle_audit(core)
        with core.database.write() as tx:
            is_there = bool(lock_repositories(tx, [due.repository_id]))
            stored = store.find_policy(tx, due.repository_id)
            if not is_there or stored is None or stored.text != due.text:
                return _Outcome.OVER
            repository = find_repository(tx, due.ref)
            priorities = {group[0].rule_priority for group in batch}
            if not _are_kept(tx, repository, policy, evaluation, priorities):
                return _Outcome.STALE
            done = [verdict for group in batch for verdict in _do(core, tx, repository, group)]
        count += len(done)
        if done:
            record_lifecycle(core, due.ref, due.text, done)
    if count:
        _LOG.info("lifecycle policy of %s: %d images expired or archived", due.ref.arn, count)
    return _Outcome.DONE


def _batches(verdicts: Sequence[Verdict]) -> Iterator[list[list[Verdict]]]:
    """Give verdicts in groups, a subject with its referrers, and these in small batches."""
    batch: list[list[Verdict]] = []
    size = 0
    for verdict in verdicts:
        if verdict.is_following:
            batch[-1].append(verdict)
        else:
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
            batch.append([verdict])
        size += 1
    if batch:
        yield batch


def _are_kept(
    tx: Transaction,
    repository: Repository,
    policy: LifecyclePolicy,
    evaluation: Evaluation,
    priorities: set[int],
) -> bool:
    """Tell whether all images are there that counts of these rules keep in place of others."""
    for rule in policy.rules:
        if rule.priority not in priorities:
            continue
        kept = evaluation.kept.get(rule.priority, ())
        there = store.read_images_again(tx, repository.id, [image.id for image in kept])
        if len(there) < len(kept):
            return False
        if any(image.is_archived or not rule.matches(image.tags) for image in there.values()):
            return False
    return True


def _do(
    core: Core, tx: Transaction, repository: Repository, group: Sequence[Verdict]
) -> list[Verdict]:
    """Do with a subject and its referrers what was decided, unless the subject has changed since
    then; a referrer that has is left out. Give the verdicts that were carried out.
    """
    there = store.read_images_again(tx, repository.id, [verdict.image.id for verdict in group])
    done: list[Verdict] = []
    for verdict in group:
        is_same = there.get(verdict.image.id) == verdict.image
        if is_same and _has_cause(tx, repository, verdict) and _act(core, tx, repository, verdict):
            done.append(verdict)
        elif not verdict.is_following:
            break
    return done


def _has_cause(tx: Transaction, repository: Repository, verdict: Verdict) -> bool:
    """Tell whether a stray's subject still is as it was; a rule's verdict needs none."""
    if verdict.rule_priority or verdict.is_following or verdict.action == "expire":
        return True
    subject = find_image(tx, repository.id, verdict.image.subject or "")
    return subject is not None and subject.storage.status == "ARCHIVED"


def _act(core: Core, tx: Transaction, repository: Repository, verdict: Verdict) -> bool:
    image = find_image(tx, repository.id, verdict.image.digest.text)
    if image is None or (repository.is_locked and verdict.action == "expire"):
        return False
    try:
        if verdict.action == "expire":
            delete_whole_image(core, tx, repository, image, actor=LIFECYCLE)
        elif archive_image(tx, image, core.clock()):
            archived = find_image(tx, repository.id, image.digest.text) or image
            note_storage_class(tx, repository.ref, archived, actor=LIFECYCLE, now=core.clock())
    except (ImageReferencedByManifestList, ImageStorageClassUpdateNotSupported):
        return False
    return True
