"""The files of a distribution registry (`registry:2`, `registry:3`, docker-registry).

    ROOT/docker/registry/v2/
      blobs/<algorithm>/<2 hex>/<hex>/data
      repositories/<name>/
        _manifests/revisions/<algorithm>/<hex>/link     a manifest that the repository has
        _manifests/tags/<tag>/current/link              the digest that a tag points at

Source: distribution's registry/storage/paths.go, which draws the same tree. Nothing here is
believed: names, digests and sizes are checked by whoever takes the files over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecrate.domain.errors import ImportUnusable, InvalidParameter
from ecrate.domain.images import MAX_MANIFEST_SIZE
from ecrate.domain.names import Digest

_BELOW: Final = Path("docker/registry/v2")
_LONGEST_LINK: Final = 200


@dataclass(frozen=True, slots=True)
class Revision:
    """A manifest that a repository has, since `stored_at` (epoch seconds)."""

    digest: Digest
    stored_at: float


@dataclass(frozen=True, slots=True)
class TaggedRevision:
    """What a tag points at, since `tagged_at`."""

    tag: str
    digest: Digest
    tagged_at: float


class DistributionFiles:
    """A registry's files, which are only read."""

    def __init__(self, root: Path) -> None:
        """Take the folder that the registry is configured with, or the one with the two; raises
        `ImportUnusable`.
        """
        found = [path for path in (root / _BELOW, root) if (path / "repositories").is_dir()]
        if not found:
            raise ImportUnusable(f"there is no {_BELOW / 'repositories'} in {root}")
        self._root = found[0]

    def names(self) -> Iterator[str]:
        """Give the repositories' names, in order."""
        top = self._root / "repositories"
        for folder, below, _ in os.walk(top):
            if "_manifests" in below:
                yield str(Path(folder).relative_to(top))
            # What begins so is part of a repository, and no name.
            below[:] = sorted(name for name in below if not name.startswith("_"))

    def revisions(self, name: str) -> Iterator[Revision]:
        """Give the manifests of a repository."""
        top = self._manifests(name) / "revisions"
        for link in sorted(top.glob("*/*/link")):
            digest = _read_link(link)
            if digest is not None:
                yield Revision(digest, link.stat().st_mtime)

    def tags(self, name: str) -> Iterator[TaggedRevision]:
        """Give the tags of a repository."""
        for link in sorted((self._manifests(name) / "tags").glob("*/current/link")):
            digest = _read_link(link)
            if digest is not None:
                yield TaggedRevision(link.parts[-3], digest, link.stat().st_mtime)

    def blob(self, digest: Digest) -> Path:
        """Give the file with the bytes of a digest, if it is there."""
        algorithm, _, name = digest.text.partition(":")
        return self._root / "blobs" / algorithm / name[:2] / name / "data"

    def manifest(self, digest: Digest) -> bytes | None:
        """Give a manifest's document; None where it is gone, or not what the digest says."""
        try:
            with self.blob(digest).open("rb") as file:
                content = file.read(MAX_MANIFEST_SIZE + 1)
        except OSError:
            return None
        return content if digest.fits(content) else None

    def _manifests(self, name: str) -> Path:
        return self._root / "repositories" / name / "_manifests"


def _read_link(link: Path) -> Digest | None:
    """Give the digest in a link; None for anything else."""
    try:
        with link.open("rb") as file:
            return Digest.parse(file.read(_LONGEST_LINK).decode().strip())
    except (OSError, UnicodeDecodeError, InvalidParameter):
        return None
