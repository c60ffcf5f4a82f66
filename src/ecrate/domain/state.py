"""What a whole server is like at a moment, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecrate.domain.garbage import GarbageBacklog, LinkBacklog, UploadBacklog
from ecrate.domain.names import RepositoryRef


@dataclass(frozen=True, slots=True)
class RepositoryState:
    """A repository's images and the bytes of the layers it has; those that others have as well
    count in each.
    """

    ref: RepositoryRef
    images: int
    bytes: int


@dataclass(frozen=True, slots=True)
class State:
    """Counts of all registries. `leases` gives the seconds that each background work's lease still
    has, negative once nobody does the work; `unpublished` counts events that wait.
    """

    repositories: int
    uploads: UploadBacklog
    links: LinkBacklog
    unlinked_blobs: int
    quarantine: GarbageBacklog
    unpublished: int
    leases: Sequence[tuple[str, float]]
    by_repository: Sequence[RepositoryState]
