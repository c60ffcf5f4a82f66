"""Signing in to the console with an access key, and out of it.

A session is a row, so that signing out holds at once, on every node; the cookie is a seal that
names it. Whoever loses the access key, or has it switched off, has no session any more.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import replace
from typing import Final

from ecrate.domain.errors import ExpiredToken, InvalidToken, UnknownAccessKey
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller, Source
from ecrate.domain.sessions import Session, TooManyAttempts
from ecrate.operations.core import Core
from ecrate.operations.tokens import authenticate_key, caller_of
from ecrate.store import sessions as store

_PURPOSE: Final = "console-session"
_FORMS: Final = "console-forms"
_ATTEMPTS: Final = 10
_PERIOD: Final = 300.0
# Whoever has one address of IPv6 has as many.
_IPV6_PREFIX: Final = 64


def sign_in(
    core: Core, key_id: str, secret: str, region: str, source: Source, *, lifetime: float
) -> str:
    """Begin a session of `lifetime` seconds and give its cookie.

    Raises `UnknownAccessKey`, and `TooManyAttempts` where others from this address have failed.
    """
    address, now = _network(source.address), core.clock()
    with core.database.write() as tx:
        count, until = store.count_attempt(tx, address, until=now + _PERIOD, now=now)
    if count > _ATTEMPTS:
        raise TooManyAttempts(math.ceil(until - now))
    caller = authenticate_key(core, key_id, secret)
    session_id, expires_at = core.new_id(), now + lifetime
    with core.database.write() as tx:
        store.forget_attempt(tx, address)
        store.insert_session(
            tx,
            session_id,
            caller.access_key_id,
            region or caller.registry.region,
            expires_at=expires_at,
            now=now,
        )
    return core.seals.seal(_PURPOSE, {"id": session_id, "exp": expires_at})


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.version == 4:  # noqa: PLR2004 - of IP
        return str(ip)
    return str(ipaddress.ip_network((ip, _IPV6_PREFIX), strict=False))


def open_session(core: Core, cookie: str, source: Source) -> Session:
    """Give the session of a cookie; raises `UnknownAccessKey` where there is none, or no more."""
    try:
        session_id = core.seals.open(_PURPOSE, cookie, core.clock())["id"]
    except (InvalidToken, ExpiredToken):
        raise UnknownAccessKey from None
    caller = _caller(core, session_id, source)
    return Session(session_id, caller, form_token(core, session_id))


def reopen_session(core: Core, session: Session) -> Caller:
    """Give whom the session speaks for now; raises `UnknownAccessKey` once it has ended."""
    return _caller(core, session.id, session.caller.source)


def _caller(core: Core, session_id: str, source: Source | None) -> Caller:
    with core.database.look() as tx:
        found = store.find_session(tx, session_id, core.clock())
    if found is None:
        raise UnknownAccessKey
    key_id, region = found
    caller = caller_of(core, key_id, None, region)
    return replace(caller, registry=RegistryRef(caller.registry.id, region), source=source)


def form_token(core: Core, session_id: str) -> str:
    """Give what forms of this session, or of somebody about to sign in, have to bring along."""
    return core.seals.derive(_FORMS, session_id)


def sign_out(core: Core, session: Session) -> None:
    """End the session everywhere."""
    with core.database.write() as tx:
        store.delete_session(tx, session.id)
