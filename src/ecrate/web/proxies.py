"""Requests that come by way of a proxy: what a trusted one says of the client is what counts."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence
from typing import Any, Final

from aiohttp.web import BaseRequest
from multidict import CIMultiDict

from ecrate.web.sources import plain_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORT: Final = re.compile(r"\[([^\]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


class Proxies:
    """The proxies of these networks are believed; what anybody else says is not looked at.

    Source: MDN, "X-Forwarded-For", and "Selecting an IP address" there: the list is read from its
    end, since whatever stands before the first address that is not a trusted proxy's was written
    by a client.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._is_trusted = functools.lru_cache(maxsize=1024)(self._is_in_networks)

    def seen_through(self, request: BaseRequest) -> BaseRequest:
        """Give the request as its client made it: its address, its scheme, its Host header."""
        peer = plain_address(request.remote or "")
        if not self._is_trusted(peer):
            return request
        said: dict[str, Any] = {"remote": self._client(request, peer)}
        scheme = _last(request, "X-Forwarded-Proto").lower()
        if scheme in {"http", "https"}:
            said["scheme"] = scheme
        host = _last(request, "X-Forwarded-Host")
        if host and host != request.headers.get("Host", ""):
            said["headers"] = CIMultiDict(request.headers)
            said["headers"]["Host"] = host
        try:
            return request.clone(**said)
        except UnicodeEncodeError:  # in a header that no text is in, and then Host stays
            del said["headers"]
            return request.clone(**said)

    def _client(self, request: BaseRequest, peer: str) -> str:
        nearest = peer
        for entry in reversed(_entries(request, "X-Forwarded-For")):
            match = _PORT.fullmatch(entry)
            address = plain_address((match[1] or match[2]) if match else entry)
            try:
                ipaddress.ip_address(address)
            except ValueError:  # "unknown", or an attempt at something
                break
            nearest = address
            if not self._is_trusted(address):
                break
        return nearest

    def _is_in_networks(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _entries(request: BaseRequest, name: str) -> list[str]:
    return [part.strip() for part in ",".join(request.headers.getall(name, ())).split(",")]


def _last(request: BaseRequest, name: str) -> str:
    return _entries(request, name)[-1]
