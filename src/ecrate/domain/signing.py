"""Which images are signed when they are pushed. Source: dossier section 9.1; ECR User Guide,
"Managed signing".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.names import RepositoryRef
from ecrate.domain.patterns import like, pattern_of

IN_PROGRESS: Final = "IN_PROGRESS"
COMPLETE: Final = "COMPLETE"
FAILED: Final = "FAILED"
# What cosign keeps beside an image, signatures among it. Source: cosign's SIGNATURE_SPEC.
_COSIGN_TAG: Final = re.compile(r"sha256-[a-f0-9]{64}\.(sig|att|sbom)")


@dataclass(frozen=True, slots=True)
class SigningRule:
    """A profile, and the repositories whose images it signs: all, where there are no filters."""

    profile_arn: str
    filters: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Tell whether images of the repository are signed."""
        return not self.filters or any(like(name, pattern_of(one)) for one in self.filters)


@dataclass(frozen=True, slots=True)
class SigningConfiguration:
    """A registry's rules, in force since `updated_at` (epoch seconds)."""

    rules: Sequence[SigningRule]
    updated_at: float = 0.0

    def profiles_for(self, name: str) -> list[str]:
        """Give the ARNs of the profiles that sign images of the repository, each once."""
        return list(dict.fromkeys(one.profile_arn for one in self.rules if one.covers(name)))


@dataclass(frozen=True, slots=True)
class SigningStatus:
    """What has become of signing an image by a profile."""

    profile_arn: str
    status: str
    failure_code: str | None = None
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class DueSigning:
    """An image that a profile is to sign, after so many attempts that failed."""

    image_id: int
    ref: RepositoryRef
    digest: str
    profile_arn: str
    attempts: int


def is_beside_an_image(tag: str | None) -> bool:
    """Tell whether an image with this tag is what cosign keeps beside another."""
    return tag is not None and _COSIGN_TAG.fullmatch(tag) is not None


def profile_of(arn: str) -> tuple[str, str]:
    """Give account and name of a signing profile."""
    return arn.split(":")[4], arn.rpartition("/")[2]
