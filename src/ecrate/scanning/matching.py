"""Which advisories an inventory meets.

Source: the OSV schema's "Evaluation" section: a version is affected if it is listed, or if the
events of one range, in the order of their versions, leave it affected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from ecrate.scanning.advisories import Affected, Range
from ecrate.scanning.inventory import Inventory, ecosystem_of, names_of, normal_name
from ecrate.scanning.severity import SEVERITIES
from ecrate.scanning.versions import VersionError, parse_version

Key = tuple[str, str]
# Of (ecosystem, package): the advisories about it, by id.
Lookup = Callable[[Key], Sequence[tuple[str, Affected]]]
# OSV: what is introduced with it has always been there.
_FIRST: Final = ("introduced", "0")
_MOST_KNOWN: Final = 200_000
_RANK: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}


class Match(msgspec.Struct, frozen=True, omit_defaults=True):
    """An advisory that a package of an inventory meets; `package` is its place there.

    `fixed` is the lowest version that is not affected any more, empty where there is none;
    `since` when it was first seen in this image, in epoch seconds.
    """

    advisory: str
    package: int
    severity: str
    fixed: str = ""
    since: float = 0.0

    @property
    def rank(self) -> tuple[int, str, int]:
        """What orders matches: the worst first."""
        return _RANK[self.severity], self.advisory, self.package


def keys_of(inventory: Inventory) -> set[Key]:
    """Give all that has to be looked up for an inventory."""
    return {key for _, keys in _questions(inventory) for key, _ in keys}


class Matcher:
    """Judges inventories by the same advisories, remembering what it found of each version."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._known: dict[tuple[Key, str], tuple[tuple[str, str, str], ...]] = {}

    def match(self, inventory: Inventory) -> tuple[Match, ...]:
        """Give what the inventory meets, the worst first; a package that is found in several
        places counts in each.
        """
        found: list[Match] = []
        for place, keys in _questions(inventory):
            met: dict[str, Match] = {}
            for key, version in keys:
                for advisory, severity, fixed in self._judge(key, version):
                    met.setdefault(advisory, Match(advisory, place, severity, fixed))
            found.extend(met.values())
        found.sort(key=lambda one: one.rank)
        return tuple(found)

    def _judge(self, key: Key, version: str) -> tuple[tuple[str, str, str], ...]:
        known = self._known.get((key, version))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[key, version] = tuple(
                (advisory, affected.severity, fixed_version(affected, version))
                for advisory, affected in self._lookup(key)
                if is_affected(affected, version)
            )
        return known


def _questions(inventory: Inventory) -> Iterable[tuple[int, list[tuple[Key, str]]]]:
    for place, package in enumerate(inventory.packages):
        ecosystem = ecosystem_of(package, inventory.release)
        if ecosystem:
            yield (
                place,
                [
                    ((each, normal_name(each, name)), version)
                    for name, version in names_of(package)
                    # Advisories may be about all releases of a distribution.
                    for each in dict.fromkeys((ecosystem, ecosystem.partition(":")[0]))
                ],
            )


def is_affected(affected: Affected, version: str) -> bool:
    """Tell whether an advisory's entry is about this version."""
    if version in affected.versions:
        return True
    try:
        own = parse_version(affected.ecosystem, version)
    except VersionError:
        # Who cannot tell where it stands: it is affected where everything is.
        return any(one.events == (_FIRST,) for one in affected.ranges)
    return any(_is_in(one, affected.ecosystem, own) for one in affected.ranges)


def _is_in(given: Range, ecosystem: str, own: Any) -> bool:
    """Tell whether a version is in a range; one that cannot be read has nothing in it."""
    try:
        limits = [text for name, text in given.events if name == "limit" and text != "*"]
        if limits and not any(own < parse_version(ecosystem, text) for text in limits):
            return False
        return _follow(given, ecosystem, own)
    except (VersionError, TypeError):
        return False


def _follow(given: Range, ecosystem: str, own: Any) -> bool:
    """Go through the events up to the version, in the order of versions."""
    is_in, events = _ordered(given, ecosystem)
    for version, name in events:
        if name == "last_affected":
            if version < own:
                is_in = False
        elif not own < version:
            is_in = name == "introduced"
    return is_in


@functools.lru_cache(maxsize=16384)
def _ordered(given: Range, ecosystem: str) -> tuple[bool, tuple[tuple[Any, str], ...]]:
    """Tell whether all versions are affected at first, and give the other events in order."""
    events = [
        (parse_version(ecosystem, text), name)
        for name, text in given.events
        if name != "limit" and (name, text) != _FIRST
    ]
    events.sort(key=_by_version)
    return _FIRST in given.events, tuple(events)


def _compare(one: tuple[Any, str], other: tuple[Any, str]) -> int:
    if one[0] < other[0]:
        return -1
    return 1 if other[0] < one[0] else 0


_by_version: Final = functools.cmp_to_key(_compare)


def fixed_version(affected: Affected, version: str) -> str:
    """Give the lowest `fixed` version above this one, empty where there is none."""
    try:
        own = parse_version(affected.ecosystem, version)
        fixes = [
            (parse_version(affected.ecosystem, text), text)
            for one in affected.ranges
            if _is_in(one, affected.ecosystem, own)
            for name, text in one.events
            if name == "fixed"
        ]
        later = [(at, text) for at, text in fixes if own < at]
        best = sorted(later, key=_by_version)
    except (VersionError, TypeError):
        return ""
    return best[0][1] if best else ""
