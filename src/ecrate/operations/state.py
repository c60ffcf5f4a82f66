"""The state of a server, for those who watch over it."""

from __future__ import annotations

from ecrate.domain.state import State
from ecrate.operations.core import Core
from ecrate.store import backlog
from ecrate.store import state as store


def describe_state(core: Core, *, by_repository: bool) -> State:
    """Count what there is and what waits; raises `StoreUnavailable`."""
    limits, now = core.limits, core.clock()
    with core.database.read() as tx:
        return State(
            repositories=store.count_repositories(tx),
            uploads=backlog.count_uploads(tx, now - limits.upload_idle),
            links=backlog.count_links(tx, now - limits.layer_grace),
            unlinked_blobs=backlog.count_unlinked_blobs(tx),
            quarantine=backlog.count_garbage(tx, limits.quarantine, now),
            unpublished=store.count_outbox(tx),
            leases=[(name, until - now) for name, until in store.list_leases(tx)],
            by_repository=store.list_repository_states(tx) if by_repository else (),
        )
