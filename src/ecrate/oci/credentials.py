"""Who is calling at the registry door: Basic and Bearer credentials, and the challenges.

The challenge is ECR's Basic one. With `anonymous_pull` it is Bearer, since a client without
credentials gives up on Basic; both are accepted either way.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from aiohttp.web import BaseRequest, Response

from ecrate.domain.errors import ExpiredToken, InvalidToken
from ecrate.domain.names import RegistryRef, is_repository_name
from ecrate.domain.principals import Caller, anonymous
from ecrate.oci.errors import RegistryError, render
from ecrate.oci.routes import Route
from ecrate.operations import tokens
from ecrate.operations.core import Core
from ecrate.web.hosts import Hosts, registry_of
from ecrate.web.sources import source_of


class NotAuthorizedError(Exception):
    """There are no credentials, or none that would do: the client is challenged.

    Its text, if it has one, is what the client is told.
    """


def authenticate(core: Core, request: BaseRequest) -> tuple[Caller, RegistryRef]:
    """Give the caller and the registry it addresses.

    Raises `NotAuthorizedError`, `InvalidToken`, `ExpiredToken`, `UnknownAccessKey`.
    """
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    named = registry_of(request.headers.get("Host", ""))
    match kind.lower():
        case "basic":
            caller = _basic(core, encoded, named)
        case "bearer":
            caller = _bearer(core, encoded)
        case _:
            raise NotAuthorizedError
    # AWS: a token of one region is refused in another.
    if named is not None and named.region != caller.registry.region:
        raise InvalidToken
    return caller.coming_from(source_of(request)), named or caller.registry


def _basic(core: Core, encoded: str, named: RegistryRef | None) -> Caller:
    """User `AWS` brings an authorization token, no user at all is the nameless one; any other
    user name is an access key id.
    """
    user, password = decode_basic(encoded)
    if not user and not password:
        return _nameless(core, named)
    if user == "AWS":
        return tokens.authenticate_token(core, password)
    caller = tokens.authenticate_key(core, user, password)
    if named is None:
        return caller
    return replace(caller, registry=RegistryRef(caller.registry.id, named.region))


def decode_basic(encoded: str) -> tuple[str, str]:
    """Give user and password; raises `NotAuthorizedError`."""
    try:
        user, _, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # not ASCII, not base64 or not UTF-8
        raise NotAuthorizedError from None
    return user, password


def _bearer(core: Core, encoded: str) -> Caller:
    try:
        return tokens.authenticate_bearer(core, encoded.strip())
    except (InvalidToken, ExpiredToken) as error:
        # Whoever is challenged fetches another, as clients do that do not watch the clock.
        raise NotAuthorizedError(str(error)) from None


def _nameless(core: Core, named: RegistryRef | None) -> Caller:
    if not core.anonymous_pull:
        raise NotAuthorizedError
    return anonymous(named or core.default_registry)


def get_token(core: Core, request: BaseRequest) -> Response:
    """Answer `/v2/token`: a bearer token for the credentials given, or for the nameless.

    Another bearer token is none, or a token would never end. Raises as `authenticate` does.

    Source: distribution's "Token Authentication Specification". What the token is asked for
    (`scope`) does not matter: rights are evaluated on each request.
    """
    authorization = request.headers.get("Authorization", "")
    if authorization.partition(" ")[0].lower() == "bearer":
        raise NotAuthorizedError("A bearer token is got with a name and a password.")
    if authorization:
        caller, _ = authenticate(core, request)
    else:
        caller = _nameless(core, registry_of(request.headers.get("Host", "")))
    token = tokens.issue_bearer(core, caller, _token_in(request))
    document = {
        "token": token,
        "access_token": token,
        "expires_in": int(tokens.BEARER_LIFETIME),
        "issued_at": datetime.fromtimestamp(core.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return Response(body=msgspec.json.encode(document), content_type="application/json")


def _token_in(request: BaseRequest) -> str | None:
    """Give the authorization token among the Basic credentials, if that is what they bring."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    user, _, password = b64decode(encoded.strip()).decode().partition(":")
    return password if user == "AWS" else None


def challenge(
    core: Core, request: BaseRequest, hosts: Hosts, route: Route | None, reason: str = ""
) -> Response:
    """Give the answer to a request without credentials that would do; `reason` tells why."""
    base = hosts.seen_by(request).base(request.headers.get("Host", ""))
    if core.anonymous_pull:
        scheme = f'Bearer realm="{base}/v2/token",service="ecr.amazonaws.com"'
        if route is not None and is_repository_name(route.name):
            actions = "pull" if request.method in {"GET", "HEAD"} else "pull,push"
            scheme += f',scope="repository:{route.name}:{actions}"'
    else:
        scheme = f'Basic realm="{base}/",service="ecr.amazonaws.com"'
    if reason:
        response = render(RegistryError(401, "UNAUTHORIZED", reason))
    else:
        response = Response(status=401, text="Not Authorized\n")
    response.headers["WWW-Authenticate"] = scheme
    return response
