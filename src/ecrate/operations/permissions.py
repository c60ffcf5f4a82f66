"""What a caller may do, asked before it is tried: for doors that show only what can be done."""

from __future__ import annotations

from collections.abc import Iterable

from ecrate.domain.errors import AccessDenied, RepositoryNotFound
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.operations.authorization import admit, authorize
from ecrate.operations.core import Core
from ecrate.store.database import Transaction
from ecrate.store.repositories import open_by_name


def list_permitted(
    core: Core, caller: Caller, ref: RepositoryRef, actions: Iterable[str]
) -> frozenset[str]:
    """Give those of the actions that the caller may do on a repository, none where there is none.

    They are asked again when they are done.
    """
    permitted = set()
    with core.database.read() as tx:
        found = open_by_name(tx, ref)
        for action in actions:
            try:
                admit(tx, caller, ref, action, found)
            except (AccessDenied, RepositoryNotFound):
                continue
            permitted.add(action)
    return frozenset(permitted)


def list_permitted_in_registry(
    core: Core, caller: Caller, registry: RegistryRef, actions: Iterable[str]
) -> frozenset[str]:
    """Give those of the actions that the caller may do in a registry, on any of its repositories
    where they are about repositories.
    """
    every = RepositoryRef(registry, "*").arn
    with core.database.read() as tx:
        return frozenset(one for one in actions if _may(tx, caller, registry, one, every))


def _may(
    tx: Transaction, caller: Caller, registry: RegistryRef, action: str, resource: str
) -> bool:
    try:
        authorize(tx, caller, registry, action, resource)
    except AccessDenied:
        return False
    return True
