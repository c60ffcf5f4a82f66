"""A repository of some registry, and the images read from it.

`EcrRepository` speaks ECR's API, `OciRepository` the distribution specification's; whoever moves
or shows images knows this port only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from ecrate.cli.connections import Connections
from ecrate.cli.failures import CommandError
from ecrate.cli.manifests import (
    DEEPEST_INDEX,
    Blob,
    Document,
    Manifest,
    platform_name,
    platform_of,
)
from ecrate.cli.progress import Progress

_MOST_REFERRERS: Final = 10_000
_LARGEST_CONFIG: Final = 4 * 1024 * 1024


class Repository(Protocol):
    """One repository. All methods raise `CommandError` where the registry refuses or is away."""

    connections: Connections
    text: str  # its name as people write it, with the host
    name: str  # its name in the registry
    registry: str  # the same text for all repositories between which blobs can be mounted

    def find(self, reference: str) -> Document:
        """Give the manifest under a tag or a digest."""

    def find_all(self, digests: Sequence[str]) -> list[Document]:
        """Give manifests by their digests, in that order."""

    def blob(self, digest: str, size: int) -> Blob:
        """Give a blob of the repository; nothing is asked for before it is read."""

    def present(self, digests: Sequence[str]) -> set[str]:
        """Give those of the blobs that are there; each of them stays for a push that follows."""

    def mount(self, digest: str, source: str) -> bool:
        """Take over a blob from the repository `source` of the same registry, where that can be."""

    def upload(self, blob: Blob, progress: Progress) -> str:
        """Store a blob, and say in a word or two how: `uploaded`, `already there`."""

    def put(self, manifest: Manifest | Document, tag: str | None) -> None:
        """Store a manifest, whose blobs and children are there; again is as good as once."""

    def create(self) -> None:
        """Create the repository, where the registry asks for that; it may be there already."""

    def tags(self) -> list[str]:
        """Give all tags."""

    def referrers(self, digest: str) -> list[dict[str, Any]]:
        """Give the descriptors of what names the digest as its subject."""

    def delete(self, digests: Sequence[str]) -> None:
        """Delete manifests with all their tags, in this order."""

    def untag(self, tag: str) -> None:
        """Take a tag away; the image goes with its last one where the registry does that."""


def choose_platform(repository: Repository, document: Document, platform: str | None) -> Document:
    """Give of an index the manifest for `platform`, else the document itself."""
    if platform is None or not document.is_index:
        return document
    known = {platform_of(each): each for each in document.children}
    if platform not in known:
        names = ", ".join(name or "unknown" for name in known)
        raise CommandError(f"{repository.text} has no image for {platform}; it has {names}")
    return repository.find(known[platform]["digest"])


def read_image(repository: Repository, document: Document, depth: int = 0) -> Manifest:
    """Give the image with all its blobs and children, ready to be read."""
    if depth > DEEPEST_INDEX:
        raise CommandError(f"indexes are nested too deeply at {document.digest}")
    found = repository.find_all([each["digest"] for each in document.children])
    return Manifest(
        document.content,
        document.media_type,
        document.digest,
        blobs=tuple(
            repository.blob(each["digest"], each["size"])
            for each in document.blobs
            # A foreign layer is elsewhere, and stays there.
            if not each.get("urls")
        ),
        children=tuple(read_image(repository, child, depth + 1) for child in found),
    )


def read_referrers(repository: Repository, subjects: Iterable[str]) -> list[Document]:
    """Give what refers to any of the subjects, and to those in turn, each once, subjects first."""
    waiting, seen, found = list(subjects), set(subjects), []
    while waiting:
        for each in repository.referrers(waiting.pop(0)):
            if each["digest"] in seen:
                continue
            seen.add(each["digest"])
            if len(seen) > _MOST_REFERRERS:
                raise CommandError(f"{repository.text} has too many referrers")
            document = repository.find(each["digest"])
            found.append(document)
            waiting.append(document.digest)
    return found


def read_config(repository: Repository, document: Document) -> dict[str, Any]:
    """Give a manifest's configuration; `{}` where it has none that is JSON."""
    config = document.body.get("config")
    if not isinstance(config, dict) or config["size"] > _LARGEST_CONFIG:
        return {}
    with repository.blob(config["digest"], config["size"]).open() as file:
        content = file.read()
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_platform(repository: Repository, document: Document) -> str:
    """Give the platform that a manifest's configuration names; empty where there is none."""
    return platform_name(read_config(repository, document))
