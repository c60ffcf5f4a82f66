"""Backfills: images that were there before their replication rules did, on their way as well.

    PREPARING -> IN_PROGRESS -> COMPLETE
         \\            \\
          `------------ STOPPING -> STOPPED
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import InvalidParameter, LimitExceeded
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.replication import (
    COMPLETE,
    ENDED,
    IN_PROGRESS,
    PREPARING,
    STOPPED,
    STOPPING,
    Backfill,
    BackfillResult,
    destinations_of,
)
from ecrate.domain.replication_errors import (
    ReplicationBackfillInProgress,
    ReplicationBackfillInvalidStatus,
    ReplicationBackfillNotFound,
)
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.operations.replication.tasks import Job, enqueue_copy
from ecrate.store import images, lanes, repositories
from ecrate.store import replication as store
from ecrate.store.database import Transaction
from ecrate.store.repositories import lock_registry

_MOST_AT_ONCE: Final = 10
_PAGE: Final = 200
# AWS: API reference of ListReplicationBackfills.
_KEPT: Final = 90 * 24 * 3600.0
_BEGUN: Final = (PREPARING, IN_PROGRESS, STOPPING)
_NEWEST: Final = (float(2**53), "")


@dataclass(frozen=True, slots=True)
class BackfillState:
    """A backfill with the codes of its failures, each once."""

    backfill: Backfill
    failure_codes: Sequence[str]


def start_replication_backfill(
    core: Core, caller: Caller, registry: RegistryRef, destination: RegistryRef
) -> Backfill:
    """Raise `InvalidParameter` for what no rule names, `ReplicationBackfillInProgress`,
    `LimitExceeded`.
    """
    with core.database.write() as tx:
        authorize(tx, caller, registry, "StartReplicationBackfill")
        lock_registry(tx, registry)
        rules = store.list_rules(tx, registry)
        if not any(destination in rule.destinations for rule in rules):
            raise InvalidParameter(
                "destination",
                "Member must be a destination of the registry's replication configuration",
            )  # [A]
        begun = [one for one in store.list_open_backfills(tx, _BEGUN) if one.registry == registry]
        if any(one.destination.region == destination.region for one in begun):
            raise ReplicationBackfillInProgress(destination.region, registry.id)
        if len(begun) >= _MOST_AT_ONCE:
            raise LimitExceeded(
                f"The registry with id '{registry.id}' already has the maximum allowed number of "
                f"replication backfills in progress which is '{_MOST_AT_ONCE}'"  # [A]
            )
        backfill = Backfill(
            id=core.new_id(),
            registry=registry,
            destination=destination,
            status=PREPARING,
            place=("", 0, ""),
            total=0,
            completed=0,
            failed=0,
            is_prepared=False,
            started_at=core.clock(),
            ended_at=None,
        )
        store.insert_backfill(tx, backfill)
    return backfill


def stop_replication_backfill(
    core: Core, caller: Caller, registry: RegistryRef, backfill_id: str
) -> Backfill:
    """Let nothing more of it begin; what is under way ends, then it is STOPPED.

    Raises `ReplicationBackfillNotFound`, `ReplicationBackfillInvalidStatus`.
    """
    with core.database.write() as tx:
        authorize(tx, caller, registry, "StopReplicationBackfill")
        backfill = _find(tx, registry, backfill_id)
        if backfill.status not in {PREPARING, IN_PROGRESS}:
            raise ReplicationBackfillInvalidStatus(backfill_id, backfill.status)
        is_waiting = lanes.has_batch(tx, backfill.id)
        status = STOPPING if is_waiting else STOPPED
        lanes.hasten_batch(tx, backfill.id, core.clock())
        ended_at = None if is_waiting else core.clock()
        store.update_backfill_status(tx, backfill.id, status, ended_at)
        return _find(tx, registry, backfill_id)


def _find(tx: Transaction, registry: RegistryRef, backfill_id: str) -> Backfill:
    backfill = store.find_backfill(tx, backfill_id.lower())
    if backfill is None or backfill.registry != registry:
        raise ReplicationBackfillNotFound(backfill_id, registry.id)
    return backfill


def describe_replication_backfill_results(
    core: Core,
    caller: Caller,
    registry: RegistryRef,
    backfill_id: str,
    *,
    is_failed: bool | None,
    after: int,
    limit: int,
) -> tuple[BackfillState, list[BackfillResult], int | None]:
    """Give a backfill, once it has ended a page of its results, and where the next one goes on;
    raises `ReplicationBackfillNotFound`.
    """
    with core.database.read() as tx:
        authorize(tx, caller, registry, "DescribeReplicationBackfillResults")
        state = _state(tx, _find(tx, registry, backfill_id))
        if state.backfill.status not in ENDED:
            return state, [], None
        found = store.list_backfill_results(
            tx, state.backfill.id, after, limit + 1, is_failed=is_failed
        )
    return state, found[:limit], found[limit - 1].id if len(found) > limit else None


def list_replication_backfills(
    core: Core,
    caller: Caller,
    registry: RegistryRef,
    *,
    after: tuple[float, str] | None,
    limit: int,
) -> tuple[list[BackfillState], tuple[float, str] | None]:
    """Give a page of backfills, the newest first, and where the next one goes on."""
    with core.database.read() as tx:
        authorize(tx, caller, registry, "ListReplicationBackfills")
        found = store.list_backfills(tx, registry, after or _NEWEST, limit + 1)
        page = [_state(tx, one) for one in found[:limit]]
    if len(found) <= limit:
        return page, None
    last = page[-1].backfill
    return page, (last.started_at, last.id)


def _state(tx: Transaction, backfill: Backfill) -> BackfillState:
    codes = store.list_backfill_failures(tx, backfill.id) if backfill.failed else []
    return BackfillState(backfill, codes)


def run_backfills(core: Core) -> None:
    """Find some more images for those that are prepared, and end those that are done."""
    with core.database.look() as tx:
        begun = store.list_open_backfills(tx, _BEGUN)
    for backfill in begun:
        with core.database.write() as tx:
            # As it is now: it may have been stopped.
            found = store.find_backfill(tx, backfill.id)
            if found is not None:
                _advance(core, tx, found)


def forget_backfills(core: Core) -> None:
    """Forget backfills that ended long ago."""
    with core.database.write() as tx:
        store.delete_old_backfills(tx, core.clock() - _KEPT)


def _advance(core: Core, tx: Transaction, backfill: Backfill) -> None:
    if backfill.status == PREPARING:
        _prepare(core, tx, backfill)
    elif backfill.status in {IN_PROGRESS, STOPPING} and not lanes.has_batch(tx, backfill.id):
        status = COMPLETE if backfill.status == IN_PROGRESS else STOPPED
        store.update_backfill_status(tx, backfill.id, status, core.clock())


def _prepare(core: Core, tx: Transaction, backfill: Backfill) -> None:
    """Put the next page of images into lanes."""
    name, image_id, tag = backfill.place
    rules = store.list_rules(tx, backfill.registry)
    room = _PAGE
    while room:
        ref = RepositoryRef(backfill.registry, name)
        repository = (
            repositories.open_by_name(tx, ref, locks=False).repository if image_id else None
        )
        if repository is None:
            image_id, tag = 0, ""
            following = repositories.list_repositories(tx, backfill.registry, name, 1)
            if not following:
                store.prepare_backfill(tx, backfill.id)
                return
            repository = following[0]
        ref = repository.ref
        found = []
        if backfill.destination in destinations_of(rules, ref.name):
            found = images.list_image_ids(
                tx,
                repository.id,
                "ANY",
                (image_id, tag),
                room,
                storage="ACTIVE",
                now=core.clock(),
            )
        for _, digest, one in found:
            job = Job(ref, digest, one, backfill.destination, backfill.id)
            enqueue_copy(tx, job, repository.id, core.clock())
        is_done = len(found) < room
        name, image_id, tag = (
            (ref.name, 0, "") if is_done else (ref.name, found[-1][0], found[-1][2] or "")
        )
        store.advance_backfill(tx, backfill.id, (name, image_id, tag), len(found))
        room -= len(found)
