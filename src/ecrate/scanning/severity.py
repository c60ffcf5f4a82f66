"""How bad an advisory is: by its CVSS vectors, else by the word of whoever published it.

Sources: the CVSS specifications' qualitative ratings; ECR's severities in its service model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

# From the worst on, as findings are listed.
SEVERITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL", "UNDEFINED")
_WORDS: Final = {
    "CRITICAL": "CRITICAL",
    "HIGH": "HIGH",
    "IMPORTANT": "HIGH",
    "MEDIUM": "MEDIUM",
    "MODERATE": "MEDIUM",
    "LOW": "LOW",
    "MINOR": "LOW",
    "NEGLIGIBLE": "INFORMATIONAL",
    "UNIMPORTANT": "INFORMATIONAL",
    "NONE": "INFORMATIONAL",
    "INFORMATIONAL": "INFORMATIONAL",
}
_RATINGS: Final = ((9.0, "CRITICAL"), (7.0, "HIGH"), (4.0, "MEDIUM"), (0.1, "LOW"))
_LONGEST: Final = 512


class Score(msgspec.Struct, frozen=True):
    """A CVSS vector: `version` is 2.0, 3.0, 3.1 or 4.0, `value` its base score."""

    version: str
    vector: str
    value: float


def read_score(vector: str) -> Score | None:
    """Score a CVSS vector of any version; None for what is none."""
    from cvss import CVSS2, CVSS3, CVSS4  # noqa: PLC0415 - most processes score nothing
    from cvss.exceptions import CVSSError  # noqa: PLC0415

    if len(vector) > _LONGEST:
        return None
    try:
        if vector.startswith("CVSS:4.0/"):
            return Score("4.0", vector, float(CVSS4(vector).base_score))
        if vector.startswith("CVSS:3."):
            return Score(vector[5:8], vector, float(CVSS3(vector).base_score))
        return Score("2.0", vector, float(CVSS2(vector).base_score))
    except (CVSSError, ArithmeticError, ValueError, KeyError):
        return None


def rate(scores: Sequence[Score], word: Any, *, is_distribution: bool) -> str:
    """Give one of `SEVERITIES`: the rating of the newest CVSS version, else the publisher's word.

    A distribution's word comes first: it knows how it builds the package (dossier, section 8).
    """
    said = _WORDS.get(word.upper()) if isinstance(word, str) else None
    if said is not None and (is_distribution or not scores):
        return said
    if not scores:
        return "UNDEFINED"
    best = max(scores, key=lambda score: (score.version, score.value))
    return next((name for least, name in _RATINGS if best.value >= least), "INFORMATIONAL")
