"""Events of pull through caches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ecrate.domain.events import ImageAction, PullThroughCacheAction
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.operations.core import Core
from ecrate.operations.events import note_image_action, note_pull_through_cache_action
from ecrate.operations.pull_through.upstreams import Source
from ecrate.store import images as store
from ecrate.store.database import Transaction

ACTOR: Final = "pull through cache"


def note_sync(
    core: Core,
    tx: Transaction,
    source: Source,
    image_id: ImageId,
    failure: tuple[str, str] | None = None,
) -> None:
    """Note that upstream was asked for an image, and what came of it: a failure is a code and a
    reason.
    """
    rule = source.rule
    digest = None if image_id.digest is None else image_id.digest.text
    action = PullThroughCacheAction(rule.prefix, rule.url, image_id.tag, digest, failure)
    note_pull_through_cache_action(tx, source.ref, action, now=core.clock())


def note_complete(
    core: Core,
    tx: Transaction,
    ref: RepositoryRef,
    ids: Sequence[int],
    *,
    tag: str | None = None,
) -> None:
    """Note that images have come with all they need, as a push of each of their tags, or of the
    one given: only then can they be replicated, scanned or signed.
    """
    for image_id in ids:
        image = store.find_image_by_id(tx, image_id)
        tags: Sequence[str | None] = store.list_tags_of_image(tx, image_id)
        for one in [tag] if tag else tags or [None]:
            action = ImageAction.of("PUSH", image, one)
            note_image_action(tx, ref, action, actor=ACTOR, now=core.clock())
