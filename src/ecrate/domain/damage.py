"""What a check of rows and bytes finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.names import Digest, RepositoryRef

KINDS: Final = (
    "damaged-database",
    "broken-reference",
    "damaged-manifest",
    "wrong-references",
    "wrong-count",
    "missing-blob",
    "cut-blob",
    "corrupt-blob",
    "lost-blob",
    "forgotten-blob",
    "orphan",
)


@dataclass(frozen=True, slots=True)
class DamagedImage:
    """An image that cannot be pulled whole; with `is_deleted` it lies in the trash."""

    ref: RepositoryRef
    digest: Digest
    tags: Sequence[str]
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should: of a kind, what it is, and what is wrong with it.

    `done` says what a repair did, and `is_mended` that nothing is left of the damage. `images`
    are those that suffer from it, the first of `image_count`.
    """

    kind: str
    what: str
    told: str
    done: str = ""
    is_mended: bool = False
    images: Sequence[DamagedImage] = ()
    image_count: int = 0
