"""Texts of policies: their wildcards and variables, and what they match.

Source: IAM User Guide, "IAM policy elements: Variables and tags".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

# A request's condition keys, in lower case; a key that is not there has no values.
Keys = Mapping[str, tuple[str, ...]]
# The pieces of a text between its `*`s, and each of them in what stands between its `?`s: of
# `ab?c*d`, [["ab", "c"], ["d"]]. So no character of a value can be taken for a wildcard.
Segment = Sequence[str]
Pattern = Sequence[Segment]

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
        pattern = [[""]]
        for number, piece in enumerate(self._pieces):
            first, *others = [[_value(piece, keys)]] if number % 2 else pattern_of(piece)
            pattern[-1][-1] += first[0]
            pattern[-1] += first[1:]
            pattern += others
        return pattern


def pattern_of(text: str) -> list[list[str]]:
    """Give the pattern of a text without variables."""
    return [segment.split("?") for segment in text.split("*")]


def _value(variable: str, keys: Keys) -> str:
    name, _, default = variable.partition(",")
    if name in {"*", "?", "$"}:
        return name
    found = keys.get(name.strip().lower(), ())
    return found[0] if found else default.strip().strip("'") or f"${{{variable}}}"


def like(value: str, pattern: Pattern) -> bool:
    """Match with IAM's `*` (any run of characters) and `?` (any one), case by case.

    Each segment is taken where it first stands and never looked for again, so that the cost
    hardly grows with more than the lengths of both; a regular expression with many `.*` can take
    for ever.
    """
    first, *others = pattern
    if not _stands(first, value, 0):
        return False
    end = _length(first)
    if not others:
        return end == len(value)
    *inner, last = others
    for segment in inner:
        at = _find(segment, value, end)
        if at < 0:
            return False
        end = at + _length(segment)
    at = len(value) - _length(last)
    return at >= end and _stands(last, value, at)


def _length(segment: Segment) -> int:
    return sum(map(len, segment)) + len(segment) - 1


def _stands(segment: Segment, value: str, at: int) -> bool:
    for piece in segment:
        if not value.startswith(piece, at):
            return False
        at += len(piece) + 1
    return True


def _find(segment: Segment, value: str, start: int) -> int:
    """Give where the segment first stands, at `start` or behind; -1 where it does not."""
    if len(segment) == 1:
        return value.find(segment[0], start)
    length = _length(segment)
    if length > len(value) - start:
        return -1
    # All beginnings of the segment are followed at once, a bit each (the algorithm Shift-And).
    fits, fits_any = _bits(segment)
    begun = 0
    for at in range(start, len(value)):
        begun = (begun << 1 | 1) & (fits.get(value[at], 0) | fits_any)
        if begun >> (length - 1):
            return at + 1 - length
    return -1


def _bits(segment: Segment) -> tuple[dict[str, int], int]:
    """Give for each character the places of the segment where it stands, and those of `?`."""
    fits: dict[str, int] = {}
    fits_any, bit = 0, 1
    for number, piece in enumerate(segment):
        if number:
            fits_any |= bit
            bit <<= 1
        for character in piece:
            fits[character] = fits.get(character, 0) | bit
            bit <<= 1
    return fits, fits_any


def arn_like(value: str, pattern: Pattern) -> bool:
    """Match each of an ARN's six parts by itself, so that no `*` reaches over a colon."""
    theirs = [[[""]]]
    for number, segment in enumerate(pattern):
        if number:
            theirs[-1].append([""])
        for place, piece in enumerate(segment):
            if place:
                theirs[-1][-1].append("")
            first, *others = piece.split(":", _ARN_PARTS - len(theirs))
            theirs[-1][-1][-1] += first
            theirs += [[[other]] for other in others]
    mine = value.split(":", _ARN_PARTS - 1)
    return len(mine) == len(theirs) and all(map(like, mine, theirs))
