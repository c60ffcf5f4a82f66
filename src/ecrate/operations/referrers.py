"""Referrers: images that name another as their subject. Source: distribution-spec 1.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ecrate.domain.images import MAX_MANIFEST_SIZE, Referrer
from ecrate.domain.names import RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.operations.authorization import open_repository
from ecrate.operations.core import Core
from ecrate.operations.images import Position, start_of
from ecrate.store import images as store

REFERRERS_PAGE: Final = 100
_STEP: Final = 10
_DESCRIPTOR_SIZE: Final = 256


def list_image_referrers(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    subject: str,
    *,
    artifact_types: Sequence[str] = (),
    storage: str = "ACTIVE",
    after: Position | None = None,
    limit: int = REFERRERS_PAGE,
) -> tuple[list[Referrer], Position | None]:
    """Give a page of the images that name `subject`, and where the next one goes on.

    Without `artifact_types`, those of any. A subject that does not exist has none. A page ends
    early when its annotations are long, so that described as an index it is no larger than a
    manifest may be.
    """
    page: list[Referrer] = []
    room = MAX_MANIFEST_SIZE
    with core.database.read() as tx:
        # AWS: listing referrers takes the permission to get images.
        repository = open_repository(tx, caller, ref, "BatchGetImage")
        last_id = start_of(repository, after).image_id
        while len(page) < limit:
            step = min(_STEP, limit - len(page))
            found = store.list_referrers(
                tx,
                repository.id,
                subject,
                artifact_types=artifact_types,
                storage=storage,
                after=last_id,
                limit=step + 1,
                now=core.clock(),
            )
            for one in found[:step]:
                # A description repeats no more than the manifest says, and adds its digest.
                room -= one.size + _DESCRIPTOR_SIZE
                if room < 0 and page:
                    return page, Position(repository.id, page[-1].id)
                page.append(one)
            if len(found) <= step:
                return page, None
            last_id = page[-1].id
    return page, Position(repository.id, last_id)
