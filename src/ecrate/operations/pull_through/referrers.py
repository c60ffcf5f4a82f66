"""Referrers of images, from here and from upstream."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from ecrate.domain.images import Referrer
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.upstream_errors import (
    UnableToListUpstreamImageReferrers,
    UpstreamError,
    UpstreamNotFound,
)
from ecrate.operations import referrers
from ecrate.operations.core import Core
from ecrate.operations.images import Position
from ecrate.operations.pull_through import images
from ecrate.operations.pull_through.claims import Claim, claimed
from ecrate.operations.pull_through.fetches import NOTHING_WAITED, Fetch, Waited, Waiting
from ecrate.operations.pull_through.upstreams import (
    Source,
    check_pause,
    find_source_for,
    paced,
)
from ecrate.operations.referrers import REFERRERS_PAGE
from ecrate.store import images as image_store
from ecrate.store import pull_through as store
from ecrate.store.repositories import lock_repositories

_RETRY: Final = 60.0


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
    waited: Waited = NOTHING_WAITED,
) -> tuple[list[Referrer], Position | None]:
    """As `referrers.list_image_referrers`, with what upstream has, imported.

    Upstream is asked for the first page of an image that came from there, once in the time after
    which tags are compared. Raises `Waiting` for a fetch that is not among those `waited` for, and
    `UnableToListUpstreamImageReferrers` where upstream was never asked and does not answer.
    """
    page, position = referrers.list_image_referrers(
        core,
        caller,
        ref,
        subject,
        artifact_types=artifact_types,
        storage=storage,
        after=after,
        limit=limit,
    )
    key = ("referrers", ref.arn, subject)
    fetch = waited.get(key)
    if fetch is not None and fetch.error is not None and not page:
        raise UnableToListUpstreamImageReferrers(str(fetch.error))
    if core.pull_through is None or fetch is not None or after is not None:
        return page, position
    due = _due(core, caller, ref, subject)
    if due is None:
        return page, position
    source, repository_id = due
    raise Waiting([_start(core, source, repository_id, subject)])


def _due(core: Core, caller: Caller, ref: RepositoryRef, subject: str) -> tuple[Source, int] | None:
    """Give where to ask, and the repository's id; None where it is not time to."""
    source = find_source_for(core, caller, ref)
    if source is None:
        return None
    with core.database.look() as tx:
        found, image = image_store.open_image(tx, ref, ImageId(Digest(subject)))
        if found.repository is None or image is None:
            return None
        checked_at = store.find_subject_check(tx, found.repository.id, subject)
    if checked_at is not None and core.clock() - checked_at <= source.seam.recheck:
        return None
    return source, found.repository.id


def _start(core: Core, source: Source, repository_id: int, subject: str) -> Fetch:
    since = core.clock()

    def is_there() -> bool:
        with core.database.look() as tx:
            checked_at = store.find_subject_check(tx, repository_id, subject)
        return checked_at is not None and checked_at >= since

    def work(fetch: Fetch) -> None:
        claimed(
            core,
            source.seam,
            f"fetch {repository_id} referrers of {subject}",
            fetch,
            is_there=is_there,
            work=lambda claim: _import(core, source, repository_id, subject, claim),
            upstream=source.host,
        )

    key = ("referrers", source.ref.arn, subject)
    return source.seam.fetches.start(key, work, upstream=source.host)


def _import(core: Core, source: Source, repository_id: int, subject: str, claim: Claim) -> None:
    """Fetch the manifests of all referrers that are not here."""
    try:
        check_pause(core, source)
        with paced(core, source):
            found = source.seam.upstreams.list_referrers(source.place(), Digest(subject))
        with core.database.look() as tx:
            there = image_store.find_images(tx, repository_id, [one.text for one in found])
        for digest in found:
            if digest.text not in there:
                # One that went meanwhile is none any more.
                with contextlib.suppress(UpstreamNotFound):
                    images.fetch_manifest(core, source, ImageId(digest), claim)
            claim.renew()
    except UpstreamError:
        _note_check(core, repository_id, subject, core.clock() - source.seam.recheck + _RETRY)
        raise
    _note_check(core, repository_id, subject, core.clock())


def _note_check(core: Core, repository_id: int, subject: str, at: float) -> None:
    with core.database.write() as tx:
        if lock_repositories(tx, [repository_id]):
            store.note_subject_check(tx, repository_id, subject, at)
