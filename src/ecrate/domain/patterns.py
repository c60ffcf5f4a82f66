"""Texts of policies: their wildcards and variables, and what they match.

Source: IAM User Guide, "IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

# A request's condition keys, in lower case; a key that is not there has no values.
Keys = Mapping[str, tuple[str, ...]]
# One entry a character, and these for wildcards: longer than one, so that no character is one.
Pattern = Sequence[str]
ANY: Final = "any run"
ONE: Final = "any one"

_WILDCARDS: Final = {"*": ANY, "?": ONE}
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_ARN_PARTS: Final = 6


class Text:
    """A text in which `*` and `?` may be wildcards and `${...}` a key's value.

    A value stands for itself, so a `*` in it is no wildcard; nor is one written `${*}`.
    """

    __slots__ = ("_fixed", "_pieces")

    def __init__(self, text: str, *, has_variables: bool) -> None:
        # Every second piece is what stands between the braces of a variable.
        self._pieces = _VARIABLE.split(text) if has_variables else [text]
        self._fixed = pattern_of(text) if len(self._pieces) == 1 else None

    def plain(self, keys: Keys) -> str:
        """Give the text with its variables replaced, for operators without wildcards."""
        return "".join(
            _value(piece, keys) if number % 2 else piece
            for number, piece in enumerate(self._pieces)
        )

    def pattern(self, keys: Keys) -> Pattern:
        """Give the pattern with its variables replaced."""
        if self._fixed is not None:
            return self._fixed
        pattern: list[str] = []
        for number, piece in enumerate(self._pieces):
            pattern += _value(piece, keys) if number % 2 else pattern_of(piece)
        return pattern


def pattern_of(text: str) -> Pattern:
    """Give the pattern of a text without variables."""
    return [_WILDCARDS.get(character, character) for character in text]


def _value(variable: str, keys: Keys) -> str:
    name, _, default = variable.partition(",")
    if name in {"*", "?", "$"}:
        return name
    found = keys.get(name.strip().lower(), ())
    return found[0] if found else default.strip().strip("'") or f"${{{variable}}}"


def like(value: str, pattern: Pattern) -> bool:
    """Match with IAM's `*` (any run of characters) and `?` (any one), case by case.

    Goes back to the last `*` only, so that no pattern costs more than its length times the
    value's; a regular expression with many `.*` can take for ever.
    """
    at, place, star, mark = 0, 0, -1, 0
    while at < len(value):
        if place < len(pattern) and pattern[place] == ANY:
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in (ONE, value[at]):
            at += 1
            place += 1
        elif star >= 0:
            mark += 1
            at, place = mark, star + 1
        else:
            return False
    return all(entry == ANY for entry in pattern[place:])


def arn_like(value: str, pattern: Pattern) -> bool:
    """Match each of an ARN's six parts by itself, so that no `*` reaches over a colon."""
    theirs: list[list[str]] = [[]]
    for entry in pattern:
        if entry == ":" and len(theirs) < _ARN_PARTS:
            theirs.append([])
        else:
            theirs[-1].append(entry)
    mine = value.split(":", _ARN_PARTS - 1)
    return len(mine) == len(theirs) and all(map(like, mine, theirs))
