"""Who is calling, and the tokens for the registry door."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import Any, Final

from ecrate.domain.errors import InvalidToken, UnknownAccessKey
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller, PrincipalRecord, anonymous
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.operations.seals import Seals
from ecrate.store.identities import find_access_key, find_principal_by_id
from ecrate.store.tokens import find_fingerprint

TOKEN_LIFETIME: Final = 12 * 3600.0  # AWS: API reference of GetAuthorizationToken.
BEARER_LIFETIME: Final = 300.0
SESSION_PREFIX: Final = "ASIA"
SESSION: Final = "session"
SECRET: Final = "access-key"  # noqa: S105 - the purpose a key is derived for
_FINGERPRINT: Final = "fingerprint"
_PURPOSE: Final = "authorization-token"
_BEARER: Final = "bearer-token"


@dataclass(frozen=True, slots=True)
class AuthorizationToken:
    """`password` is what `docker login` takes; `expires_at` is epoch seconds."""

    password: str
    expires_at: float


def secret_of(core: Core, key_id: str) -> str:
    """Give the secret of an access key: it follows from the server's secret and the key's id,
    so that no secret is stored anywhere.
    """
    return core.seals.derive(SECRET, key_id)


def fingerprint_of(seals: Seals) -> str:
    """Give what the database knows of a secret: enough to tell it from another."""
    return seals.derive(_FINGERPRINT, "")


def is_own_secret(core: Core) -> bool:
    """Tell whether the database's access keys follow from this server's secret, as far as it
    knows: the first start writes down which they follow from.
    """
    with core.database.look() as tx:
        return find_fingerprint(tx) in {None, fingerprint_of(core.seals)}


def caller_of(core: Core, key_id: str, session_token: str | None, region: str) -> Caller:
    """Give whom a key speaks for, as the store of record has it now.

    Raises `UnknownAccessKey`, `ExpiredToken`. In open mode every key id is good, and one of 12
    digits names the account.
    """
    if core.is_open and not (session_token and key_id.startswith(SESSION_PREFIX)):
        account = key_id if RegistryRef.is_id(key_id) else core.default_registry.id
        root = f"arn:aws:iam::{account}:root"
        return Caller(root, key_id, RegistryRef(account, region), is_root=True)
    if session_token is not None:
        return _session(core, key_id, session_token, region)
    with core.database.look() as tx:
        key = find_access_key(tx, key_id)
    return _caller(key.principal, key.id, region)


def _caller(principal: PrincipalRecord, key_id: str, region: str) -> Caller:
    return Caller(
        arn=principal.arn,
        access_key_id=key_id,
        registry=RegistryRef(principal.registry_id, region),
        principal_id=principal.id,
        is_root=principal.kind == "root",
    )


def _session(core: Core, key_id: str, session_token: str, region: str) -> Caller:
    try:
        payload = core.seals.open(SESSION, session_token, core.clock())
    except InvalidToken:
        raise UnknownAccessKey from None
    if payload["id"] != key_id:
        raise UnknownAccessKey
    with core.database.look() as tx:
        principal = find_principal_by_id(tx, payload["principal"])
        if principal is None:
            raise UnknownAccessKey
        if payload["parent"]:
            # A session of a user ends with the key it was got with.
            find_access_key(tx, payload["parent"])
    caller = _caller(principal, key_id, region)
    if principal.kind == "role":
        return replace(
            caller,
            arn=session_arn(principal, payload["name"]),
            role_arn=principal.arn,
            session_policy=payload["policy"],
        )
    return caller


def session_arn(role: PrincipalRecord, name: str) -> str:
    """Give the ARN of a role's session."""
    return f"arn:aws:sts::{role.registry_id}:assumed-role/{role.name}/{name}"


def get_authorization_token(
    core: Core, caller: Caller, session_token: str | None = None
) -> AuthorizationToken:
    """Issue a token that says who and where, never what: rights are looked up on each use.

    One got with session credentials carries them, and ends when they do.
    """
    with core.database.read() as tx:
        authorize(tx, caller, caller.registry, "GetAuthorizationToken")
    expires_at = core.clock() + TOKEN_LIFETIME
    if session_token:
        session = core.seals.open(SESSION, session_token, core.clock())
        expires_at = min(expires_at, session["exp"])
    payload = _payload(caller, expires_at) | ({"session": session_token} if session_token else {})
    return AuthorizationToken(core.seals.seal(_PURPOSE, payload), expires_at)


def _payload(caller: Caller, expires_at: float) -> dict[str, Any]:
    return {
        "key": caller.access_key_id,
        "account": caller.registry.id,
        "region": caller.registry.region,
        "exp": expires_at,
    }


def authenticate_token(core: Core, password: str) -> Caller:
    """Give the caller of a token; raises `InvalidToken`, `ExpiredToken`, `UnknownAccessKey`."""
    return _holder(core, core.seals.open(_PURPOSE, password, core.clock()))


def _holder(core: Core, payload: dict[str, Any]) -> Caller:
    caller = caller_of(core, payload["key"], payload.get("session"), payload["region"])
    if caller.registry.id != payload["account"]:
        raise InvalidToken
    return caller


def authenticate_key(core: Core, key_id: str, secret: str) -> Caller:
    """Give the caller of an access key used as user name and password, in the default region."""
    caller = caller_of(core, key_id, None, core.default_registry.region)
    expected = secret_of(core, key_id)
    if not core.is_open and not hmac.compare_digest(expected.encode(), secret.encode()):
        raise UnknownAccessKey
    return caller


def issue_bearer(core: Core, caller: Caller, password: str | None) -> str:
    """Give a short-lived token for the registry door's Bearer scheme, the nameless included.

    `password` is the authorization token it is got with, if it is: both end together.
    """
    expires_at = core.clock() + BEARER_LIFETIME
    payload = _payload(caller, expires_at)
    if password is not None:
        source = core.seals.open(_PURPOSE, password, core.clock())
        payload["exp"] = min(expires_at, source["exp"])
        if "session" in source:
            payload["session"] = source["session"]
    return core.seals.seal(_BEARER, payload)


def authenticate_bearer(core: Core, token: str) -> Caller:
    """Give the caller of a bearer token; raises as `authenticate_token` does."""
    payload = core.seals.open(_BEARER, token, core.clock())
    if payload["key"]:
        return _holder(core, payload)
    if not core.anonymous_pull:
        raise InvalidToken
    return anonymous(RegistryRef(payload["account"], payload["region"]))
