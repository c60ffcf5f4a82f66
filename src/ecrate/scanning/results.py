"""What is kept of a scan, packed: the inventory, and the findings."""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from ecrate.scanning.advisories import Advisory
from ecrate.scanning.inventory import Inventory
from ecrate.scanning.matching import Match

# Beyond what any inventory packs to, so that damaged rows do not fill the memory.
_LARGEST: Final = 512 * 1024 * 1024


class Findings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Matches, the worst first. `advisories` are those that no feed has, by id: what an external
    scanner says.
    """

    matches: tuple[Match, ...] = ()
    advisories: dict[str, Advisory] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each severity that there is."""
        counts: dict[str, int] = {}
        for one in self.matches:
            counts[one.severity] = counts.get(one.severity, 0) + 1
        return counts


def pack(value: Inventory | Findings) -> bytes:
    return zlib.compress(msgspec.json.encode(value), 1)


def unpack_inventory(packed: bytes) -> Inventory:
    return msgspec.json.decode(_unpacked(packed), type=Inventory)


def unpack_findings(packed: bytes) -> Findings:
    return msgspec.json.decode(_unpacked(packed), type=Findings)


def _unpacked(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, _LARGEST)
