"""The one point at which it is decided whether a caller may do a thing."""

from __future__ import annotations

from ecrate.domain.errors import AccessDenied, RepositoryNotFound
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository


def open_repository(
    tx: Transaction,
    caller: Caller,
    ref: RepositoryRef,
    action: str,  # noqa: ARG001 - what policies decide by, as soon as there are any
) -> Repository:
    """Give the repository if the caller may do `action` (an ECR operation's name) on it.

    To a caller from another account nothing exists, whether it does or not: the same
    `RepositoryNotFound` either way.
    """
    if ref.registry.id != caller.registry.id:
        raise RepositoryNotFound(ref.name, ref.registry.id)
    return find_repository(tx, ref)


def authorize_registry(caller: Caller, registry: RegistryRef, action: str) -> None:
    """Raise `AccessDenied` unless the caller may do `action` on the registry as a whole."""
    if registry.id != caller.registry.id:
        raise AccessDenied(
            principal=caller.arn,
            action=action,
            resource=f"arn:aws:ecr:{registry.region}:{registry.id}:repository/*",
            reason=f"no resource-based policy allows the ecr:{action} action",
        )
