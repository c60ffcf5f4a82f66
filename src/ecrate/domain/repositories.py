"""What a repository is and which of its tags may move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.values import value


@value
class TagMutability:
    """A repository's tag mutability mode with its exclusion filters.

    `mode` is MUTABLE, IMMUTABLE, MUTABLE_WITH_EXCLUSION or IMMUTABLE_WITH_EXCLUSION; a filter's
    `*` stands for any run of characters. AWS: user guide, "Image tag mutability".
    """

    mode: str = "MUTABLE"
    filters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, mode: str, filters: Sequence[str] | None) -> TagMutability:
        """Raise `InvalidParameter` unless there are filters exactly where the mode has some."""
        if mode.endswith("_WITH_EXCLUSION") != (filters is not None):
            # AWS: the same text both ways, as recorded by other implementations' tests.
            raise InvalidParameter(
                "imageTagMutabilityExclusionFilters",
                "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set "
                f"as {mode}",
            )
        return cls(mode, tuple(filters or ()))

    def is_immutable(self, tag: str) -> bool:
        """Tell whether `tag` may not be moved to another image."""
        immutable = self.mode.startswith("IMMUTABLE")
        if self.mode.endswith("_WITH_EXCLUSION") and any(
            matches_wildcard(f, tag) for f in self.filters
        ):
            return not immutable
        return immutable


def matches_wildcard(pattern: str, tag: str) -> bool:
    """Tell whether the whole text is as the pattern says, whose `*` is any run of characters."""
    # Greedy search for each literal in turn is linear; a regular expression with many `.*` is not.
    first, *rest = pattern.split("*")
    if not rest:
        return tag == pattern
    *middle, last = rest
    if not tag.startswith(first) or len(tag) < len(first) + len(last) or not tag.endswith(last):
        return False
    position, end = len(first), len(tag) - len(last)
    for literal in middle:
        found = tag.find(literal, position, end)
        if found < 0:
            return False
        position = found + len(literal)
    return True


@value
class Encryption:
    """How a repository's content is said to be encrypted; `kms_key` is a key ARN."""

    type: str = "AES256"
    kms_key: str | None = None

    def with_key(self, registry: RegistryRef) -> Encryption:
        """Give it with a key's ARN where it needs one.

        AWS: a missing key means the account's managed key for ECR; an id or alias becomes an ARN.
        """
        key = self.kms_key
        if self.type == "AES256" or (key is not None and key.startswith("arn:")):
            return self
        resource = key or "alias/aws/ecr"
        resource = resource if "/" in resource else f"key/{resource}"
        arn = f"arn:aws:kms:{registry.region}:{registry.id}:{resource}"
        return Encryption(self.type, arn)


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """What a client chooses when it creates a repository."""

    tag_mutability: TagMutability = field(default_factory=TagMutability)
    scan_on_push: bool = False
    encryption: Encryption = field(default_factory=Encryption)
    resource_tags: tuple[tuple[str, str], ...] = ()


@value
class Repository:
    """A repository that exists. `id` is its identity: a re-created name gets another one.

    Nothing is deleted from it while it `is_locked`.
    """

    id: int
    ref: RepositoryRef
    created_at: float
    tag_mutability: TagMutability
    scan_on_push: bool
    encryption: Encryption
    image_count: int
    is_locked: bool
