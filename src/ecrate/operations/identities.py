"""Principals, access keys and identity policies: what `ecrate iam` manages; and STS.

The operator who can read the data directory manages them; there is no door to this from outside
but STS, whose calls are authorized like all others.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import (
    AccessDenied,
    InvalidParameter,
    MalformedPolicyDocument,
    PrincipalNotFound,
    UnknownAccessKey,
)
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.policies import (
    Decision,
    InvalidPolicyError,
    PolicyKind,
    Principal,
    Request,
    decide,
    parse_policy,
)
from ecrate.domain.principals import NAME, Caller, PrincipalRecord
from ecrate.operations.authorization import evaluate, parsed
from ecrate.operations.core import Core
from ecrate.operations.tokens import SESSION, SESSION_PREFIX, secret_of, session_arn
from ecrate.store import identities as store
from ecrate.store.repositories import Opened, open_by_name

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
SESSION_SECONDS: Final = range(900, 43_201)  # AWS: API reference of AssumeRole.


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """A key with its secret, which is shown when it is made and can be derived again only here."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """What STS hands out; `expires_at` is epoch seconds."""

    key_id: str
    secret: str
    token: str
    expires_at: float
    arn: str
    assumed_id: str = ""


def arn_of(account: str, kind: str, name: str) -> str:
    """Give a principal's ARN."""
    return f"arn:aws:iam::{account}:{'root' if kind == 'root' else f'{kind}/{name}'}"


def create_principal(
    core: Core, account: str, kind: str, name: str, trust_policy: str | None = None
) -> PrincipalRecord:
    """Make a root, user or role. Raises `InvalidParameter`, `MalformedPolicyDocument`,
    `PrincipalAlreadyExists`.
    """
    if not RegistryRef.is_id(account):
        raise InvalidParameter("account", "an account id has 12 digits")
    if kind != "root" and NAME.fullmatch(name) is None:
        raise InvalidParameter(f"{kind}Name", "a name has 1 to 64 of letters, digits and +=,.@_-")
    if (kind, name) == ("user", "root"):
        # Whoever names it to make a key would make one of the account's root.
        raise InvalidParameter("userName", "root is the name of the account's root")
    if trust_policy is not None:
        _check(trust_policy, PolicyKind.TRUST)
    with core.database.write() as tx:
        return store.insert_principal(
            tx,
            account,
            kind,
            name,
            arn=arn_of(account, kind, name),
            trust_policy=trust_policy,
            now=core.clock(),
        )


def delete_principal(core: Core, arn: str) -> None:
    """Take a principal away; its keys and sessions end with it. Raises `PrincipalNotFound`."""
    with core.database.write() as tx:
        store.delete_principal(tx, store.find_principal(tx, arn).id)


def list_principals(core: Core, account: str | None = None) -> list[PrincipalRecord]:
    with core.database.read() as tx:
        return store.list_principals(tx, account)


def create_access_key(core: Core, arn: str) -> NewAccessKey:
    """Make a key for a principal; raises `PrincipalNotFound`."""
    key_id = new_key_id("AKIA")
    with core.database.write() as tx:
        principal = store.find_principal(tx, arn)
        store.insert_access_key(tx, key_id, principal.id, core.clock())
    return NewAccessKey(key_id, secret_of(core, key_id))


def new_key_id(prefix: str) -> str:
    """Give a new key id: the prefix and 16 characters."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(16))


def list_access_keys(core: Core, arn: str) -> list[tuple[str, bool, float]]:
    """Give id, whether active, and time of creation of a principal's keys."""
    with core.database.read() as tx:
        return store.list_access_keys(tx, store.find_principal(tx, arn).id)


def set_access_key(core: Core, key_id: str, *, is_active: bool) -> None:
    """Switch a key on or off, from the next request on; raises `UnknownAccessKey`."""
    with core.database.write() as tx:
        if not store.set_access_key(tx, key_id, is_active=is_active):
            raise UnknownAccessKey


def delete_access_key(core: Core, key_id: str) -> None:
    """Raise `UnknownAccessKey` where there is none."""
    with core.database.write() as tx:
        if not store.delete_access_key(tx, key_id):
            raise UnknownAccessKey


def rotate_access_key(core: Core, key_id: str) -> NewAccessKey:
    """Make a new key for the principal of an active one, which is switched off."""
    new = new_key_id("AKIA")
    with core.database.write() as tx:
        arn = store.find_access_key(tx, key_id).principal.arn
        principal = store.find_principal(tx, arn)
        store.insert_access_key(tx, new, principal.id, core.clock())
        store.set_access_key(tx, key_id, is_active=False)
    return NewAccessKey(new, secret_of(core, new))


def put_policy(core: Core, arn: str, name: str, document: str) -> None:
    """Write an inline policy; raises `MalformedPolicyDocument`, `PrincipalNotFound`."""
    _check(document, PolicyKind.IDENTITY)
    with core.database.write() as tx:
        store.put_inline_policy(tx, store.find_principal(tx, arn).id, name, document)


def delete_policy(core: Core, arn: str, name: str) -> None:
    """Remove an inline policy; raises `PrincipalNotFound` for either name."""
    with core.database.write() as tx:
        if not store.delete_inline_policy(tx, store.find_principal(tx, arn).id, name):
            raise PrincipalNotFound(f"policy {name} of {arn}")


def create_policy(core: Core, account: str, name: str, document: str) -> str:
    """Write a managed policy and give its ARN."""
    _check(document, PolicyKind.IDENTITY)
    arn = f"arn:aws:iam::{account}:policy/{name}"
    with core.database.write() as tx:
        store.put_managed_policy(tx, arn, document)
    return arn


def attach_policy(core: Core, arn: str, policy_arn: str) -> None:
    """Attach a managed policy to a principal; raises `PrincipalNotFound` for either."""
    with core.database.write() as tx:
        store.attach_policy(tx, store.find_principal(tx, arn).id, policy_arn)


def detach_policy(core: Core, arn: str, policy_arn: str) -> None:
    with core.database.write() as tx:
        if not store.detach_policy(tx, store.find_principal(tx, arn).id, policy_arn):
            raise PrincipalNotFound(policy_arn)


def list_policies(core: Core, arn: str) -> tuple[list[str], list[str]]:
    """Give names of inline policies and ARNs of attached ones."""
    with core.database.read() as tx:
        return store.list_policy_names(tx, store.find_principal(tx, arn).id)


def simulate(core: Core, arn: str, region: str, action: str, repository: str) -> Decision:
    """Decide as a request would be decided, and say which statement did it."""
    with core.database.read() as tx:
        principal = store.find_principal(tx, arn)
        own = RegistryRef(principal.registry_id, region)
        caller = Caller(arn, "", own, principal_id=principal.id, is_root=principal.kind == "root")
        account = repository.split(":")[4] if repository.startswith("arn:") else own.id
        registry = RegistryRef(account, region)
        name = repository.rpartition(":repository/")[2]
        ref = RepositoryRef.parse(registry, name) if name != "*" else None
        if ref is None:
            found = Opened(None, None, store.find_registry_policy(tx, registry))
        else:
            found = open_by_name(tx, ref)
        return evaluate(
            tx,
            caller,
            registry,
            action.removeprefix("ecr:"),
            "*" if ref is None else ref.arn,
            policies=[
                *parsed(found.policy, PolicyKind.REPOSITORY),
                *parsed(found.registry_policy, PolicyKind.REGISTRY),
            ],
        )


def get_session_token(core: Core, caller: Caller, seconds: int) -> SessionCredentials:
    """Give credentials that are the caller's own for a while, and end with the key they were
    got with.
    """
    if caller.role_arn:
        raise _denied(caller, "sts:GetSessionToken", "*")
    return _session(
        core,
        caller.principal_id,
        arn=caller.arn,
        seconds=seconds,
        parent=caller.access_key_id,
    )


def assume_role(
    core: Core, caller: Caller, role_arn: str, name: str, *, policy: str, seconds: int
) -> SessionCredentials:
    """Give credentials of a role whose trust policy lets the caller in.

    From another account, an identity policy of the caller must allow it as well. Raises
    `AccessDenied`, whether or not there is such a role.
    """
    if policy:
        _check(policy, PolicyKind.IDENTITY)
    request = Request(
        principal=Principal(
            caller.arn, caller.registry.id, is_root=caller.is_root, role_arn=caller.role_arn
        ),
        action="sts:AssumeRole",
        resource=role_arn,
        keys={},
    )
    with core.database.read() as tx:
        try:
            role = store.find_principal(tx, role_arn)
        except PrincipalNotFound:
            raise _denied(caller, "sts:AssumeRole", role_arn) from None
        trust = parse_policy(role.trust_policy or _TRUSTS_NOBODY, PolicyKind.TRUST)
        identity = [
            parse_policy(document, PolicyKind.IDENTITY)
            for document in store.list_policies(tx, caller.principal_id)
        ]
    # A role is never open to its own account's root by itself: the trust policy has to say so.
    is_trusted = any(
        statement.allows and statement.match(request.principal).value
        for statement in trust.statements
    )
    if not is_trusted or not decide(request, identity, [trust], owner=role.registry_id).is_allowed:
        raise _denied(caller, "sts:AssumeRole", role_arn)
    return _session(
        core,
        role.id,
        arn=session_arn(role, name),
        seconds=seconds,
        name=name,
        policy=policy,
    )


_TRUSTS_NOBODY: Final = (
    '{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}]}'
)


def _session(
    core: Core,
    principal_id: int,
    *,
    arn: str,
    seconds: int,
    parent: str = "",
    name: str = "",
    policy: str = "",
) -> SessionCredentials:
    key_id = new_key_id(SESSION_PREFIX)
    expires_at = core.clock() + seconds
    payload = {
        "id": key_id,
        "principal": principal_id,
        "parent": parent,
        "name": name,
        "policy": policy,
        "exp": expires_at,
    }
    return SessionCredentials(
        key_id=key_id,
        secret=secret_of(core, key_id),
        token=core.seals.seal(SESSION, payload),
        expires_at=expires_at,
        arn=arn,
        assumed_id=f"AROA{principal_id:016d}:{name}",
    )


def _denied(caller: Caller, action: str, resource: str) -> AccessDenied:
    reason = f"because no identity-based policy allows the {action} action"
    return AccessDenied(caller.arn, action, resource, reason)


def _check(document: str, kind: PolicyKind) -> None:
    try:
        parse_policy(document, kind)
    except InvalidPolicyError as error:
        raise MalformedPolicyDocument(str(error)) from None
