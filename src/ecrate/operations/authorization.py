"""The one point at which it is decided whether a caller may do a thing."""

from __future__ import annotations

from typing import Final

from ecrate.domain.errors import AccessDenied, RepositoryNotFound
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository

_PULLING: Final = frozenset(
    {"BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer", "ListImages"}
)


def open_repository(
    tx: Transaction,
    caller: Caller,
    ref: RepositoryRef,
    action: str,
) -> Repository:
    """Give the repository if the caller may do `action` (an ECR operation's name) on it.

    To a caller from another account nothing exists, whether it does or not: the same
    `RepositoryNotFound` either way.
    """
    if caller.is_anonymous and action not in _PULLING:
        raise _denied(caller, action, ref.arn)
    if ref.registry.id != caller.registry.id:
        raise RepositoryNotFound(ref.name, ref.registry.id)
    return find_repository(tx, ref)


def authorize_registry(caller: Caller, registry: RegistryRef, action: str) -> None:
    """Raise `AccessDenied` unless the caller may do `action` on the registry as a whole."""
    if caller.is_anonymous or registry.id != caller.registry.id:
        arn = f"arn:aws:ecr:{registry.region}:{registry.id}:repository/*"
        raise _denied(caller, action, arn)


def _denied(caller: Caller, action: str, resource: str) -> AccessDenied:
    reason = f"no resource-based policy allows the ecr:{action} action"
    return AccessDenied(caller.arn, action, resource, reason)
