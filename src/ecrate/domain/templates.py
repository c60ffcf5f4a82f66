"""Repository creation templates: what a repository that is made for a client looks like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ecrate.domain.names import RegistryRef
from ecrate.domain.repositories import Encryption, RepositorySettings, TagMutability
from ecrate.domain.tagging import ResourceTag

CREATE_ON_PUSH: Final = "CREATE_ON_PUSH"
PULL_THROUGH_CACHE: Final = "PULL_THROUGH_CACHE"
REPLICATION: Final = "REPLICATION"
_ROOT: Final = "ROOT"


@dataclass(frozen=True, slots=True)
class Template:
    """A template as its registry has it; times are epoch seconds, absent texts None.

    `applied_for` names the occasions; `encryption.kms_key` may be missing with KMS, which means
    the account's managed key.
    """

    prefix: str
    applied_for: tuple[str, ...]
    created_at: float
    updated_at: float
    description: str | None = None
    tag_mutability: TagMutability = TagMutability()  # noqa: RUF009 - a value
    encryption: Encryption = Encryption()  # noqa: RUF009 - a value
    resource_tags: tuple[ResourceTag, ...] = ()
    repository_policy: str | None = None
    lifecycle_policy: str | None = None
    custom_role_arn: str | None = None

    def covers(self, name: str) -> bool:
        """Tell whether a repository of this name lies below the prefix, or the prefix is ROOT."""
        return self.prefix == _ROOT or name.startswith(self.prefix.rstrip("/") + "/")

    def settings(self, registry: RegistryRef) -> RepositorySettings:
        """Give what a repository of the registry begins with."""
        return RepositorySettings(
            tag_mutability=self.tag_mutability,
            encryption=self.encryption.with_key(registry),
            resource_tags=self.resource_tags,
        )


def choose_template(templates: Iterable[Template], name: str, occasion: str) -> Template | None:
    """Give the template with the longest prefix among those for this name and occasion [A]."""
    return max(
        (one for one in templates if occasion in one.applied_for and one.covers(name)),
        key=lambda one: 0 if one.prefix == _ROOT else len(one.prefix),
        default=None,
    )
