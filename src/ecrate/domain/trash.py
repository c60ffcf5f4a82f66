"""What was deleted and can still be restored. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.names import Digest, RegistryRef, RepositoryRef

# The registry of repositories that no door leads to: no account has this id.
TRASH: Final = RegistryRef("trash", "")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the part of the trash that is meant came from: an account, repositories of a name, or
    anywhere.
    """

    registry_id: str | None = None
    ref: RepositoryRef | None = None


@dataclass(frozen=True, slots=True)
class TrashedRepository:
    """A deleted repository. `ref` is what it was called, `id` still its identity."""

    id: int
    ref: RepositoryRef
    image_count: int
    deleted_at: float
    kept_until: float


@dataclass(frozen=True, slots=True)
class TrashedImage:
    """A deleted image. `repository_id` and `ref` tell where it was deleted, `tags` those it had;
    `id` is the image's, `bin_id` the repository in which it lies now.
    """

    id: int
    bin_id: int
    repository_id: int
    ref: RepositoryRef
    digest: Digest
    media_type: str
    size: int
    is_archived: bool
    tags: Sequence[str]
    deleted_at: float
    kept_until: float
