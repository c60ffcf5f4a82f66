"""The one point at which it is decided whether a caller may do a thing.

Identity, repository and registry policies meet here, on every request, as the store has them at
that moment: whoever lost a right has lost it with the next request, on every worker.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from ecrate.domain.errors import AccessDenied, RepositoryLocked, RepositoryNotFound
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.policies import (
    Decision,
    Policy,
    PolicyKind,
    Principal,
    Request,
    decide,
    parse_policy,
)
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.store import identities
from ecrate.store.database import Transaction
from ecrate.store.repositories import Opened, open_by_name
from ecrate.store.tagging import list_resource_tags

# Gives the repository that an action is about if the caller may do it.
Opener = Callable[[Transaction, Caller, RepositoryRef, str], Repository]

_NO_KEYS: Final[Mapping[str, tuple[str, ...]]] = {}


def open_repository(
    tx: Transaction,
    caller: Caller,
    ref: RepositoryRef,
    action: str,
    keys: Mapping[str, tuple[str, ...]] = _NO_KEYS,
    *,
    locks: bool = True,
) -> Repository:
    """Give the repository if the caller may do `action` (an ECR operation's name) on it.

    In a write it is locked then (see `store.database`), unless without `locks`. `keys` are
    condition keys of this request beyond the common ones. Raises `AccessDenied`, or
    `RepositoryNotFound`. To a caller from another account whom no policy lets in, nothing
    exists, whether it does or not; a denial within the account is the same either way, unless
    the caller may learn what is missing.
    """
    return admit(tx, caller, ref, action, open_by_name(tx, ref, locks=locks), keys=keys)


def admit(
    tx: Transaction,
    caller: Caller,
    ref: RepositoryRef,
    action: str,
    found: Opened,
    *,
    keys: Mapping[str, tuple[str, ...]] = _NO_KEYS,
) -> Repository:
    """As `open_repository`, where one statement has asked for the repository and for more."""
    repository = found.repository
    of_registry = parsed(found.registry_policy, PolicyKind.REGISTRY)
    policies = [*parsed(found.policy, PolicyKind.REPOSITORY), *of_registry]
    own_keys = keys
    if repository is not None and (policies or not caller.is_root):
        own_keys = {**_tag_keys(list_resource_tags(tx, repository.id)), **keys}
    ask = functools.partial(evaluate, tx, caller, ref.registry, action, ref.arn)
    decision = ask(policies=policies, keys=own_keys)
    if not decision.is_allowed:
        # Whoever could not learn that it is missing is told the same where it is there.
        missing = ask(policies=of_registry, keys=keys)
        if not missing.is_allowed:
            decision = missing
        is_stranger = decision.reason.startswith("because no resource-based")
        if is_stranger and not caller.is_anonymous:
            raise RepositoryNotFound(ref.name, ref.registry.id)
        raise AccessDenied(caller.arn, f"ecr:{action}", ref.arn, decision.reason)
    if repository is None:
        raise RepositoryNotFound(ref.name, ref.registry.id)
    return repository


def open_to_delete(tx: Transaction, caller: Caller, ref: RepositoryRef, action: str) -> Repository:
    """As `open_repository`, to delete it or something of it; raises `RepositoryLocked` too."""
    repository = open_repository(tx, caller, ref, action)
    if repository.is_locked:
        raise RepositoryLocked(ref.name, ref.registry.id)
    return repository


def authorize(
    tx: Transaction,
    caller: Caller,
    registry: RegistryRef,
    action: str,
    resource: str = "*",
    *,
    keys: Mapping[str, tuple[str, ...]] = _NO_KEYS,
) -> None:
    """Raise `AccessDenied` unless the caller may do `action` on `resource`, an ARN or `*`."""
    whole = identities.find_registry_policy(tx, registry)
    policies = parsed(whole, PolicyKind.REGISTRY)
    decision = evaluate(tx, caller, registry, action, resource, policies=policies, keys=keys)
    if not decision.is_allowed:
        raise AccessDenied(caller.arn, f"ecr:{action}", resource, decision.reason)


def evaluate(
    tx: Transaction,
    caller: Caller,
    registry: RegistryRef,
    action: str,
    resource: str,
    *,
    policies: Sequence[Policy],
    keys: Mapping[str, tuple[str, ...]] = _NO_KEYS,
) -> Decision:
    """Decide with the caller's policies and those of the resource, `policies`, and say why."""
    if caller.is_root and not policies and caller.registry.id == registry.id:
        return Decision(is_allowed=True, reason="", statement="root of the account")
    identity = [
        parse_policy(document, PolicyKind.IDENTITY)
        for document in identities.list_policies(tx, caller.principal_id)
    ]
    request = Request(
        principal=Principal(
            arn=caller.arn,
            account=caller.registry.id,
            is_root=caller.is_root,
            is_anonymous=caller.is_anonymous,
            role_arn=caller.role_arn,
        ),
        action=f"ecr:{action}",
        resource=resource,
        keys={**_common_keys(caller, registry), **keys},
    )
    decision = decide(request, identity, policies, owner=registry.id)
    if decision.is_allowed and caller.session_policy:
        session = parse_policy(caller.session_policy, PolicyKind.IDENTITY)
        narrowed = decide(request, [session], [], owner=caller.registry.id)
        if not narrowed.is_allowed:
            reason = narrowed.reason.replace("identity-based", "session")
            return Decision(is_allowed=False, reason=reason, statement=narrowed.statement)
    return decision


def parsed(document: str | None, kind: PolicyKind) -> list[Policy]:
    """Give the policy of a document in a list, an empty one where there is no document."""
    # A document was checked when it was put, so it can be read now.
    return [] if document is None else [parse_policy(document, kind)]


def _common_keys(caller: Caller, registry: RegistryRef) -> dict[str, tuple[str, ...]]:
    now = datetime.now(UTC)
    keys: dict[str, tuple[str, ...]] = {
        "aws:principalarn": (caller.role_arn or caller.arn,),
        "aws:principalaccount": (caller.registry.id,),
        "aws:principaltype": (_type(caller),),
        "aws:userid": (caller.access_key_id,),
        "aws:username": (caller.arn.rpartition("/")[2],),
        "aws:requestedregion": (registry.region,),
        "aws:resourceaccount": (registry.id,),
        "aws:currenttime": (now.strftime("%Y-%m-%dT%H:%M:%SZ"),),
        "aws:epochtime": (str(int(now.timestamp())),),
    }
    if caller.is_anonymous:
        for name in ("aws:principalarn", "aws:principalaccount", "aws:userid", "aws:username"):
            del keys[name]
    if caller.source is not None:
        keys["aws:sourceip"] = (caller.source.address,)
        keys["aws:useragent"] = (caller.source.user_agent,)
        keys["aws:securetransport"] = ("true" if caller.source.is_secure else "false",)
    return keys


def _type(caller: Caller) -> str:
    if caller.is_anonymous:
        return "Anonymous"
    if caller.role_arn:
        return "AssumedRole"
    return "Account" if caller.is_root else "User"


def _tag_keys(tags: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = {}
    for key, value in tags:
        keys[f"aws:resourcetag/{key.lower()}"] = (value,)
        keys[f"ecr:resourcetag/{key.lower()}"] = (value,)
    return keys


def request_tag_keys(tags: tuple[tuple[str, str], ...]) -> dict[str, tuple[str, ...]]:
    """Give the condition keys for resource tags that a request brings along."""
    keys: dict[str, tuple[str, ...]] = {
        f"aws:requesttag/{key.lower()}": (value,) for key, value in tags
    }
    if tags:
        keys["aws:tagkeys"] = tuple(key for key, _ in tags)
    return keys
