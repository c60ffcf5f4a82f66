"""Who is calling, and the authorization tokens for the registry door."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import InvalidToken, UnknownAccessKey
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller, anonymous
from ecrate.operations.core import Core
from ecrate.store.access_keys import AccessKey, find_access_key

TOKEN_LIFETIME: Final = 12 * 3600.0  # AWS: API reference of GetAuthorizationToken.
BEARER_LIFETIME: Final = 300.0
_PURPOSE: Final = "authorization-token"
_BEARER: Final = "bearer-token"


@dataclass(frozen=True, slots=True)
class AuthorizationToken:
    """`password` is what `docker login` takes; `expires_at` is epoch seconds."""

    password: str
    expires_at: float


def access_key(core: Core, key_id: str) -> AccessKey:
    """Give the key as the store of record has it now; raises `UnknownAccessKey`.

    In open mode every key id is good, and one of 12 digits names the account.
    """
    if core.is_open:
        account = key_id if RegistryRef.is_id(key_id) else core.default_registry.id
        return AccessKey(key_id, "", account, f"arn:aws:iam::{account}:root")
    with core.database.read() as tx:
        return find_access_key(tx, key_id)


def caller_of(key: AccessKey, region: str) -> Caller:
    """Give the caller that `key` speaks for in a region."""
    return Caller(key.principal, key.id, RegistryRef(key.registry_id, region))


def get_authorization_token(core: Core, caller: Caller) -> AuthorizationToken:
    """Issue a token that says who and where, never what: rights are looked up on each use."""
    expires_at = core.clock() + TOKEN_LIFETIME
    payload = {
        "key": caller.access_key_id,
        "account": caller.registry.id,
        "region": caller.registry.region,
        "exp": expires_at,
    }
    return AuthorizationToken(core.seals.seal(_PURPOSE, payload), expires_at)


def authenticate_token(core: Core, password: str) -> Caller:
    """Give the caller of a token; raises `InvalidToken`, `ExpiredToken`, `UnknownAccessKey`."""
    payload = core.seals.open(_PURPOSE, password, core.clock())
    key = access_key(core, payload["key"])
    if key.registry_id != payload["account"]:
        raise InvalidToken
    return caller_of(key, payload["region"])


def authenticate_key(core: Core, key_id: str, secret: str) -> Caller:
    """Give the caller of an access key used as user name and password, in the default region."""
    key = access_key(core, key_id)
    if not core.is_open and not hmac.compare_digest(key.secret.encode(), secret.encode()):
        raise UnknownAccessKey
    return caller_of(key, core.default_registry.region)


def issue_bearer(core: Core, caller: Caller) -> str:
    """Give a short-lived token for the registry door's Bearer scheme, the nameless included."""
    payload = {
        "key": caller.access_key_id,
        "account": caller.registry.id,
        "region": caller.registry.region,
        "exp": core.clock() + BEARER_LIFETIME,
    }
    return core.seals.seal(_BEARER, payload)


def authenticate_bearer(core: Core, token: str) -> Caller:
    """Give the caller of a bearer token; raises as `authenticate_token` does."""
    payload = core.seals.open(_BEARER, token, core.clock())
    registry = RegistryRef(payload["account"], payload["region"])
    if not payload["key"]:
        if not core.anonymous_pull:
            raise InvalidToken
        return anonymous(registry)
    key = access_key(core, payload["key"])
    if key.registry_id != registry.id:
        raise InvalidToken
    return caller_of(key, registry.region)
