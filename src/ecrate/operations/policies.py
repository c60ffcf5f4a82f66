"""Repository policies and the registry policy."""

from __future__ import annotations

from ecrate.domain.errors import (
    AccessDenied,
    InvalidParameter,
    RegistryPolicyNotFound,
    RepositoryPolicyNotFound,
)
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.policies import InvalidPolicyError, PolicyKind, parse_policy
from ecrate.domain.principals import Caller
from ecrate.operations.authorization import authorize, open_repository
from ecrate.operations.core import Core
from ecrate.store import identities as store


def set_repository_policy(
    core: Core, caller: Caller, ref: RepositoryRef, document: str, *, force: bool
) -> None:
    """Write the policy. Without `force`, one that would keep the caller from setting another is
    refused with `InvalidParameter`.
    """
    _check(document, PolicyKind.REPOSITORY, "Invalid repository policy provided")
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "SetRepositoryPolicy")
        store.put_repository_policy(tx, repository.id, document)
        if force:
            return
        try:
            open_repository(tx, caller, ref, "SetRepositoryPolicy")
        except AccessDenied:
            raise InvalidParameter(
                "PolicyText",
                "The policy would prevent the caller from setting another policy in the future",
            ) from None  # [A]


def get_repository_policy(core: Core, caller: Caller, ref: RepositoryRef) -> str:
    """Raise `RepositoryPolicyNotFound` when none is set."""
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "GetRepositoryPolicy")
        document = store.find_repository_policy(tx, repository.id)
    if document is None:
        raise RepositoryPolicyNotFound(ref.name, ref.registry.id)
    return document


def delete_repository_policy(core: Core, caller: Caller, ref: RepositoryRef) -> str:
    """Give the removed policy; raises `RepositoryPolicyNotFound`."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "DeleteRepositoryPolicy")
        document = store.find_repository_policy(tx, repository.id)
        if document is None:
            raise RepositoryPolicyNotFound(ref.name, ref.registry.id)
        store.delete_repository_policy(tx, repository.id)
        return document


def put_registry_policy(core: Core, caller: Caller, document: str) -> None:
    """Write the policy of the caller's registry."""
    _check(document, PolicyKind.REGISTRY, "Invalid registry policy provided")
    with core.database.write() as tx:
        authorize(tx, caller, caller.registry, "PutRegistryPolicy")
        store.put_registry_policy(tx, caller.registry, document)


def get_registry_policy(core: Core, caller: Caller) -> str:
    """Raise `RegistryPolicyNotFound` when none is set."""
    with core.database.read() as tx:
        authorize(tx, caller, caller.registry, "GetRegistryPolicy")
        return _registry_policy(store.find_registry_policy(tx, caller.registry), caller.registry)


def delete_registry_policy(core: Core, caller: Caller) -> str:
    """Give the removed policy; raises `RegistryPolicyNotFound`."""
    with core.database.write() as tx:
        authorize(tx, caller, caller.registry, "DeleteRegistryPolicy")
        document = store.delete_registry_policy(tx, caller.registry)
    return _registry_policy(document, caller.registry)


def _registry_policy(document: str | None, registry: RegistryRef) -> str:
    if document is None:
        raise RegistryPolicyNotFound(registry.id)
    return document


def _check(document: str, kind: PolicyKind, text: str) -> None:
    try:
        parse_policy(document, kind)
    except InvalidPolicyError:
        raise InvalidParameter("PolicyText", text) from None
