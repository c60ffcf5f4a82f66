"""Versions in the orders of their ecosystems.

The orders are those of the library `univers`, but for Alpine's, whose suffixes (`_git`, `_cvs`)
it does not know, and build metadata, which it lets count where Semantic Versioning does not.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from typing_extensions import override

_LONGEST: Final = 256
_ORDERS: Final = {
    "PyPI": "PypiVersion",
    "Maven": "MavenVersion",
    "Debian": "DebianVersion",
    "Ubuntu": "DebianVersion",
}
_SEMANTIC: Final = ("npm", "Go")
_ALPINE: Final = ("Alpine", "Wolfi", "Chainguard")
_RPM: Final = (
    *("Red Hat", "Rocky Linux", "AlmaLinux", "Amazon Linux", "openSUSE", "SUSE", "Photon OS"),
    *("Azure Linux", "Mageia", "openEuler"),
)


class VersionError(ValueError):
    """It is no version of its ecosystem."""


@functools.lru_cache(maxsize=65536)
def parse_version(ecosystem: str, text: str) -> Any:
    """Give what compares with other versions of the same ecosystem; raises `VersionError`."""
    family = ecosystem.partition(":")[0]
    if not text or len(text) > _LONGEST:
        raise VersionError(text[:_LONGEST])
    # Imported late: a server that judges nothing does without it.
    from univers import versions as orders  # noqa: PLC0415

    try:
        # What the library wraps compares as well, and ten times as fast.
        if family in _ALPINE:
            return _AlpineOrder.parse(text)
        if family in _SEMANTIC:
            return orders.SemverVersion(_plain(text)).value
        if family in _RPM:
            return orders.RpmVersion(text).value
        return getattr(orders, _ORDERS[family])(text).value
    except (ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise VersionError(text) from error


def is_known(ecosystem: str) -> bool:
    """Tell whether versions of the ecosystem can be compared."""
    family = ecosystem.partition(":")[0]
    return family in _ORDERS or family in (*_SEMANTIC, *_ALPINE, *_RPM)


def _plain(text: str) -> str:
    """Give a semantic version without what does not count."""
    # Go's releases before 1.21 end in rc1 where Semantic Versioning has -rc.1.
    text = re.sub(r"^(\d+(?:\.\d+)*)(alpha|beta|rc)(\d+)$", r"\1-\2.\3", text)
    return text.partition("+")[0]


_APK: Final = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<letter>[a-z]?)"
    r"(?P<suffixes>(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*)(?:~[0-9a-f]+)?(?:-r(?P<r>\d+))?"
)
_SUFFIX: Final = re.compile(r"_([a-z]+)(\d*)")
_RANKS: Final = {
    name: rank
    for rank, name in enumerate(("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"))
}


@functools.total_ordering
class _AlpineOrder:
    """A version of apk-tools. Source: apk-package(5), "Package versions"."""

    __slots__ = ("_key",)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self._key = key

    @classmethod
    def parse(cls, text: str) -> _AlpineOrder:
        found = _APK.fullmatch(text)
        if found is None:
            raise VersionError(text)
        first, *rest = found["numbers"].split(".")
        # Behind the first, a number that begins with 0 is compared as the text it is.
        numbers = [(1, int(first), ""), *(_component(one) for one in rest)]
        suffixes = [
            (_RANKS[name], int(number or 0)) for name, number in _SUFFIX.findall(found["suffixes"])
        ]
        # An end ranks behind release candidates and before patches.
        suffixes.append((_RANKS[""], 0))
        key = (numbers, found["letter"], suffixes, int(found["r"] or 0))
        return cls(key)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AlpineOrder) and self._key == other._key

    def __lt__(self, other: _AlpineOrder) -> bool:
        return self._key < other._key

    @override
    def __hash__(self) -> int:
        return hash(str(self._key))


def _component(text: str) -> tuple[int, int, str]:
    return (0, 0, text.rstrip("0")) if text.startswith("0") and text != "0" else (1, int(text), "")
