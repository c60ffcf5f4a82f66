"""When images are scanned: a registry's configuration, and what it means for a repository.

AWS: user guide, "Scan images for software vulnerabilities" and "Filters"; dossier section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.images import INDEX_TYPES, Image
from ecrate.domain.repositories import matches_wildcard

BASIC: Final = "BASIC"
ENHANCED: Final = "ENHANCED"
ON_PUSH: Final = "SCAN_ON_PUSH"
CONTINUOUS: Final = "CONTINUOUS_SCAN"
MANUAL: Final = "MANUAL"
_FREQUENCIES: Final = {BASIC: (ON_PUSH, MANUAL), ENHANCED: (ON_PUSH, CONTINUOUS)}
_CONFIGS: Final = frozenset(
    {
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.oci.image.config.v1+json",
    }
)


@dataclass(frozen=True, slots=True)
class ScanningRule:
    """Which repositories are scanned how often: those whose name meets one of the filters."""

    frequency: str
    filters: tuple[str, ...]

    def matching(self, name: str) -> str | None:
        """Give the first filter that the repository's name meets."""
        return next((one for one in self.filters if _meets(one, name)), None)


def _meets(pattern: str, name: str) -> bool:
    """AWS: without a `*` it may stand anywhere in the name; with one, it is the whole name."""
    return matches_wildcard(pattern, name) if "*" in pattern else pattern in name


@dataclass(frozen=True, slots=True)
class ScanningConfiguration:
    """A registry's; the first one is `BASIC` without rules. AWS: `ENHANCED` without rules scans
    everything all the time.
    """

    scan_type: str = BASIC
    rules: tuple[ScanningRule, ...] = ()

    @classmethod
    def parse(cls, scan_type: str, rules: Sequence[ScanningRule]) -> ScanningConfiguration:
        """Raise `InvalidParameter` for a frequency that the type does not have, or has twice."""
        frequencies = [rule.frequency for rule in rules]
        known = _FREQUENCIES[scan_type]
        wrong = next((one for one in frequencies if one not in known), None)
        if wrong is not None:
            raise InvalidParameter(
                "rules", f"{wrong} is not supported with scan type {scan_type}"
            )  # [A]
        if len(set(frequencies)) < len(frequencies):
            raise InvalidParameter("rules", "A scan frequency can have one rule only")  # [A]
        return cls(scan_type, tuple(rules))

    def plan(self, name: str, *, scan_on_push: bool) -> ScanPlan:
        """Give how the repository of this name is scanned; `scan_on_push` is its own setting."""
        if self.scan_type == ENHANCED and not self.rules:
            return ScanPlan(ENHANCED, CONTINUOUS)
        found = {
            rule.frequency: met for rule in self.rules if (met := rule.matching(name)) is not None
        }
        for frequency in (CONTINUOUS, ON_PUSH):
            if frequency in found:
                return ScanPlan(self.scan_type, frequency, (found[frequency],))
        if self.scan_type == BASIC and scan_on_push:
            return ScanPlan(BASIC, ON_PUSH)  # [A]
        # With ENHANCED, what meets no rule is not scanned at all, which is shown so as well. [A]
        return ScanPlan(self.scan_type, MANUAL)


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How a repository is scanned; `filters` are those that it meets."""

    scan_type: str
    frequency: str
    filters: tuple[str, ...] = ()

    @property
    def is_on_push(self) -> bool:
        return self.frequency != MANUAL

    @property
    def is_continuous(self) -> bool:
        return self.frequency == CONTINUOUS


def is_scannable(media_type: str, artifact_media_type: str | None) -> bool:
    """Tell whether it is the image of a container: no index, and no other artifact."""
    return media_type not in INDEX_TYPES and artifact_media_type in _CONFIGS


@dataclass(frozen=True, slots=True)
class Scan:
    """An image's last scan, without its results; times are epoch seconds.

    `status` is WAITING (or at work), COMPLETE, FAILED, UNSUPPORTED or TOO_LARGE. `feed_updated_at`
    is when the advisories were imported that it was matched with last.
    """

    scan_type: str
    is_continuous: bool
    status: str
    description: str
    requested_at: float
    completed_at: float | None
    feed_updated_at: float | None
    counts: Mapping[str, int]

    def wire_status(self, image: Image, now: float) -> tuple[str, str]:
        """Give ECR's status of it, and the description."""
        if image.storage.status_at(now) == "ARCHIVED":
            return "IMAGE_ARCHIVED", "The image is archived."
        match self.status:
            case "WAITING" if self.scan_type == ENHANCED:
                return "PENDING", self.description
            case "WAITING":
                return "IN_PROGRESS", self.description
            case "COMPLETE" if self.is_continuous:
                return "ACTIVE", "Continuous scan is selected for image."  # [A]
            case "UNSUPPORTED" if self.scan_type == BASIC:
                # AWS: basic scans say so as failures, enhanced ones have a status for it.
                return "FAILED", self.description
            case "UNSUPPORTED":
                return "UNSUPPORTED_IMAGE", self.description
            case "TOO_LARGE":
                return "IMAGE_SIZE_EXCEEDED", self.description
            case _:
                return self.status, self.description
