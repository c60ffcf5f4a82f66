"""Which addresses an upstream may have: public ones, and those that the operator allows.

A name is looked up once, here, and the address that was checked is the one that is connected to:
so nobody can answer a second look-up differently (DNS rebinding). CVE-2026-2376 shows what comes
of leaving this out: a mirror that fetches from the machine's own network for whoever asks.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 6052, section 2.1: the last four bytes are an IPv4 address.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """A host has an address that nothing is fetched from; `str()` says which."""


def parse_networks(text: str) -> tuple[_Network, ...]:
    """Read networks with commas between them; raises `ValueError`."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_permitted(address: str, allowed: Sequence[_Network]) -> bool:
    """Tell whether something may be fetched from an address: a public one, or in `allowed`."""
    parsed = _plain(ipaddress.ip_address(address.partition("%")[0]))
    if any(parsed in network for network in allowed):
        return True
    return parsed.is_global and not parsed.is_multicast


def look_up(
    host: str, port: int, allowed: Sequence[_Network], setting: str = "upstream_networks"
) -> list[str]:
    """Give the addresses of a host that may be connected to.

    Raises `ForbiddenAddressError` where it has one that may not: a name that leads to both is not
    to be trusted with either; it names the `setting` that would allow it. Raises `OSError` where
    it has none.
    """
    # RFC 6761: names under "localhost" are this machine, which not every resolver knows.
    name = "localhost" if host == "localhost" or host.endswith(".localhost") else host
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not is_permitted(address, allowed):
            raise ForbiddenAddressError(
                f"{host} has the address {address}, which is not public; the setting "
                f"'{setting}' allows it"
            )
    return addresses


def _plain(address: _Address) -> _Address:
    """Give the IPv4 address inside one of the IPv6 forms that lead to it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(address.packed[-4:])
    return address
