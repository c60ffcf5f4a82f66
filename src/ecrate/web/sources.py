"""Where a request came from, for the conditions of policies."""

from __future__ import annotations

from typing import Final

from aiohttp.web import BaseRequest

from ecrate.domain.principals import Source

# How an IPv4 address looks on a socket that takes both kinds.
_MAPPED: Final = "::ffff:"


def source_of(request: BaseRequest) -> Source:
    """Give address, user agent, and whether TLS is spoken here."""
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    return Source(
        address=str(peer[0]).removeprefix(_MAPPED) if peer else "",
        user_agent=request.headers.get("User-Agent", ""),
        is_secure=transport is not None and transport.get_extra_info("sslcontext") is not None,
    )
