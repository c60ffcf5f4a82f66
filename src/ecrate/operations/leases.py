"""Leases on background work: workers and nodes share it, and a dead one's is taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ecrate.operations.core import Core
from ecrate.store import leases as store
from ecrate.store.database import Transaction

LEASE_SECONDS: Final = 60.0


def _nothing(_: Transaction, __: float) -> None:
    pass


def take_lease(
    core: Core,
    name: str,
    holder: str,
    *,
    on_taken: Callable[[Transaction, float], None] = _nothing,
) -> bool:
    """Tell whether `holder` is to do the work for the next half minute; no two are at once.

    `on_taken` is called in the transaction in which it passes from another holder to this one.
    """
    now = core.clock()
    with core.database.look() as tx:
        held = store.find_lease(tx, name)
    if held is not None:
        owner, until = held
        if owner != holder and now < until <= now + store.FARTHEST * LEASE_SECONDS:
            return False
        if owner == holder and until > now + LEASE_SECONDS / 2:
            return True
    with core.database.write() as tx:
        is_taken = store.take_lease(tx, name, holder, now, LEASE_SECONDS)
        if is_taken and (held is None or held[0] != holder):
            on_taken(tx, now)
        return is_taken


def release_lease(core: Core, name: str, holder: str) -> None:
    """Let another holder begin at once, and others see that nobody is at work."""
    with core.database.write() as tx:
        store.release_lease(tx, name, holder)
