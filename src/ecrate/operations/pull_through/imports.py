"""The rest of what cached images need, which nobody has asked for yet: members of lists, layers.

AWS: user guide: with a list, every image that it lists is imported; layers follow a manifest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import TimeoutError as NotYet
from typing import Final

from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.upstream_errors import (
    UpstreamContentRefused,
    UpstreamNotFound,
    UpstreamTooManyRequests,
)
from ecrate.operations.core import Core
from ecrate.operations.pull_through import images, layers
from ecrate.operations.pull_through.fetches import Fetch
from ecrate.operations.pull_through.upstreams import find_source
from ecrate.store import images as image_store
from ecrate.store import layers as layer_store
from ecrate.store import pull_through as store
from ecrate.store.pull_through import Import

_LOG: Final = logging.getLogger("ecrate")
_AT_ONCE: Final = 4
_LOOK_EVERY: Final = 5.0
_FIRST_PAUSE: Final = 60.0
_MOST_FAILURES: Final = 8


def run_imports(core: Core, may_go_on: Callable[[], bool]) -> bool:
    """Fetch a few of the things that wait to be imported; tell whether there was any.

    One that fails waits, twice as long each time. One that upstream does not have or that is not
    what its digest says is given up: it is fetched if somebody asks.
    """
    if core.pull_through is None:
        return False
    with core.database.look() as tx:
        due = store.list_due_imports(tx, core.clock(), _AT_ONCE)
    started = [(one, _start(core, one, ref)) for one, ref in due]
    for one, fetch in started:
        if fetch is not None:
            while not _has_ended(fetch):
                if not may_go_on():
                    return False
            _note(core, one, fetch)
    return bool(started)


def _start(core: Core, one: Import, ref: RepositoryRef) -> Fetch | None:
    """Begin a fetch; None where there is nothing to fetch (any more)."""
    with core.database.look() as tx:
        source = find_source(core, tx, ref)
        wanted = None
        if one.is_manifest:
            is_there = image_store.find_image(tx, one.repository_id, one.digest) is not None
        else:
            is_there = layer_store.find_layer(tx, one.repository_id, one.digest) is not None
            wanted = layers.find_needed(tx, one.repository_id, one.digest)
    if source is not None and not is_there:
        if one.is_manifest:
            return images.start_fetch(core, source, ImageId(Digest(one.digest)))
        if wanted is not None:
            return layers.start_fetch(core, source, one.repository_id, wanted)
    with core.database.write() as tx:
        store.delete_import(tx, one.repository_id, one.digest)
    return None


def _has_ended(fetch: Fetch) -> bool:
    try:
        fetch.ended.result(_LOOK_EVERY)
    except NotYet:
        return False
    return True


def _note(core: Core, one: Import, fetch: Fetch) -> None:
    error, failures = fetch.error, one.failures + 1
    with core.database.write() as tx:
        if (
            error is None
            or isinstance(error, UpstreamNotFound | UpstreamContentRefused)
            or failures > _MOST_FAILURES
        ):
            store.delete_import(tx, one.repository_id, one.digest)
        else:
            pause = _FIRST_PAUSE * 2**one.failures
            if isinstance(error, UpstreamTooManyRequests):
                # It was asked nothing, so it has failed at nothing.
                pause, failures = error.seconds, one.failures
            not_before = core.clock() + pause
            store.delay_import(tx, one.repository_id, one.digest, not_before, failures)
    if error is not None:
        _LOG.warning("%s is not imported: %s", one.digest, error)
