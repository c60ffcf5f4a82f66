"""Where a request came from, for the conditions of policies."""

from __future__ import annotations

from typing import Final

from aiohttp.web import BaseRequest

from ecrate.domain.principals import Source

# How an IPv4 address looks on a socket that takes both kinds.
_MAPPED: Final = "::ffff:"
# AWS: CloudTrail User Guide, "CloudTrail record contents": longer ones are cut off.
_LONGEST_AGENT: Final = 1024


def source_of(request: BaseRequest) -> Source:
    """Give address, user agent (its first 1,024 characters), and whether TLS is spoken here."""
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("peername")
    return Source(
        address=str(peer[0]).removeprefix(_MAPPED) if peer else "",
        user_agent=request.headers.get("User-Agent", "")[:_LONGEST_AGENT],
        is_secure=transport is not None and transport.get_extra_info("sslcontext") is not None,
    )
