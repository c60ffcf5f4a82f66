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
    """Give address, user agent (its first 1,024 characters), and whether the client speaks TLS."""
    return Source(
        address=plain_address(request.remote or ""),
        user_agent=request.headers.get("User-Agent", "")[:_LONGEST_AGENT],
        is_secure=request.scheme == "https",
    )


def plain_address(address: str) -> str:
    """Give an IPv4 address in its own form."""
    return address.removeprefix(_MAPPED)
