"""What waits for the collector, and why a blob stays or goes. Times are seconds since the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecrate.domain.names import Digest, RepositoryRef


@dataclass(frozen=True, slots=True)
class Work:
    """What the collector has settled since one worker took it over; `holder` is that worker, and
    it has it `until` then unless it goes on.
    """

    holder: str
    until: float
    since: float
    trash: int
    links: int
    blobs: int
    uploads: int
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TrashBacklog:
    """`bytes` are those that nothing but the trash keeps. The first of what is in it ends at
    `first_end`, the last at `last_end`; `past_time` of it waits for the collector.
    """

    repositories: int
    images: int
    bytes: int
    first_end: float | None
    last_end: float | None
    past_time: int


@dataclass(frozen=True, slots=True)
class LinkBacklog:
    """Links that no image needs: in their grace period, and beyond it."""

    in_grace: int
    lapsed: int


@dataclass(frozen=True, slots=True)
class UploadBacklog:
    """Uploads that are open, and those of them that nobody goes on with."""

    open: int
    idle: int


@dataclass(frozen=True, slots=True)
class GarbageBacklog:
    """Bytes in quarantine, of which those of `due` files are deleted next; the others come behind
    them, the last at `last_end`.
    """

    files: int
    bytes: int
    due: int
    last_end: float | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits at each step, in the order in which bytes go through them."""

    trash: TrashBacklog
    links: LinkBacklog
    uploads: UploadBacklog
    unlinked_blobs: int
    quarantine: GarbageBacklog


@dataclass(frozen=True, slots=True)
class Link:
    """A repository that has the blob as a layer. `images` are some of the `image_count` that need
    it; without any the link lapses at `lapses_at`.
    """

    ref: RepositoryRef
    image_count: int
    images: Sequence[Digest]
    touched_at: float
    lapses_at: float | None


@dataclass(frozen=True, slots=True)
class Keeper:
    """What keeps the blob from the trash: an image, or with `digest` None a repository."""

    ref: RepositoryRef
    digest: Digest | None
    kept_until: float


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Bytes of the digest whose row is gone; they `go_at` the end of the quarantine."""

    key: str
    size: int
    removed_at: float
    goes_at: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of a digest's bytes. `size` is None where no row has them any more;
    `link_count` counts all links, `links` and `keepers` hold some.
    """

    digest: Digest
    size: int | None
    stored_at: float | None
    link_count: int
    links: Sequence[Link]
    keepers: Sequence[Keeper]
    quarantined: Sequence[Quarantined]

    @property
    def state(self) -> str:
        """Give the step at which the bytes are.

            NEEDED --images go--> LINKED --grace ends--> UNLINKED --> QUARANTINED --> UNKNOWN
               +--images are deleted--> TRASHED --time ends--> LINKED or UNLINKED

        By images; by a repository, though no image needs them; for what is in the trash; by
        nothing; without a row; never there, or deleted.
        """
        if self.size is None:
            return "QUARANTINED" if self.quarantined else "UNKNOWN"
        if any(link.image_count for link in self.links):
            return "NEEDED"
        if self.keepers:
            return "TRASHED"
        return "LINKED" if self.links else "UNLINKED"
