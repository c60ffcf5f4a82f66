"""Pull gates: what an image has to be like to be pulled from a repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import InvalidParameter

ENFORCE: Final = "enforce"
DRY_RUN: Final = "dry-run"
MODES: Final = (DRY_RUN, ENFORCE)
# The least first. AWS: the service model's FindingSeverity.
SEVERITIES: Final = ("UNDEFINED", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")

# How many findings an image has of each severity; None where it was never scanned.
Counts = Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class PullGate:
    """The conditions, which all have to be met, and for whom they do not hold.

    `trusted` are certificates in PEM of whom an image has to be signed by, empty where it need not
    be; `highest_severity` is the worst of findings it may have, None for any; where it
    `needs_scan`, it must have been scanned. Principals in `exempt`, by ARN, pull what they like.
    """

    mode: str
    trusted: tuple[str, ...] = ()
    highest_severity: str | None = None
    needs_scan: bool = False
    exempt: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `InvalidParameter` unless it has a condition, and modes and severities are some."""
        if self.mode not in MODES:
            raise InvalidParameter("mode", f"Member must be one of {', '.join(MODES)}")
        if self.highest_severity is not None and self.highest_severity not in SEVERITIES:
            known = ", ".join(SEVERITIES)
            raise InvalidParameter("highestSeverity", f"Member must be one of {known}")
        if not self.trusted and self.highest_severity is None and not self.needs_scan:
            raise InvalidParameter("conditions", "A gate needs a condition")

    def objection(self, counts: Counts) -> str | None:
        """Tell what its findings have against an image, None where they have nothing."""
        if counts is None:
            return "it has not been scanned" if self.needs_scan else None
        if self.highest_severity is None:
            return None
        found = [one for one in SEVERITIES if counts.get(one, 0) > 0]
        worst = found[-1] if found else SEVERITIES[0]
        if SEVERITIES.index(worst) <= SEVERITIES.index(self.highest_severity):
            return None
        return f"it has findings of the severity {worst}, above {self.highest_severity}"


def added(one: Counts, other: Counts) -> Counts:
    """Give the findings of two images together."""
    if one is None or other is None:
        return other if one is None else one
    return {name: one.get(name, 0) + other.get(name, 0) for name in {*one, *other}}
