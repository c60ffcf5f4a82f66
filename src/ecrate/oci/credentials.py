"""Who is calling at the registry door: Basic credentials and ECR's challenge."""

from __future__ import annotations

import binascii
from base64 import b64decode

from aiohttp.web import BaseRequest, Response

from ecrate.domain.errors import InvalidToken
from ecrate.domain.names import RegistryRef
from ecrate.domain.principals import Caller
from ecrate.operations import tokens
from ecrate.operations.core import Core
from ecrate.web.hosts import Hosts, registry_of


class NotAuthorizedError(Exception):
    """There are no credentials, or none of a kind known here: the client is challenged."""


def authenticate(core: Core, request: BaseRequest) -> tuple[Caller, RegistryRef]:
    """Give the caller and the registry it addresses.

    User `AWS` brings an authorization token; any other user name is an access key id. Raises
    `NotAuthorizedError`, `InvalidToken`, `ExpiredToken`, `UnknownAccessKey`.
    """
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        raise NotAuthorizedError
    try:
        user, _, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise NotAuthorizedError from None
    named = registry_of(request.headers.get("Host", ""))
    if user == "AWS":
        caller = tokens.authenticate_token(core, password)
        # AWS: a token of one region is refused in another.
        if named is not None and named.region != caller.registry.region:
            raise InvalidToken
        return caller, named or caller.registry
    caller = tokens.authenticate_key(core, user, password)
    if named is not None:
        caller = Caller(
            caller.arn, caller.access_key_id, RegistryRef(caller.registry.id, named.region)
        )
    return caller, named or caller.registry


def challenge(request: BaseRequest, hosts: Hosts) -> Response:
    """Give ECR's answer to a request without credentials."""
    realm = f"{hosts.scheme()}://{request.headers.get('Host', '')}/"
    return Response(
        status=401,
        text="Not Authorized\n",
        headers={"WWW-Authenticate": f'Basic realm="{realm}",service="ecr.amazonaws.com"'},
    )
