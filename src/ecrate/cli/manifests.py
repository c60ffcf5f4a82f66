"""Manifests and what they name: what every way of moving an image has in common.

An image is a manifest with the blobs it names, or an index with its child manifests. Blobs are
not read here; whoever moves them opens them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from ecrate.cli.failures import CommandError

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
MEDIA_TYPES: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
INDEXES: Final = (OCI_INDEX, DOCKER_LIST)
LARGEST_MANIFEST: Final = 4 * 1024 * 1024
DEEPEST_INDEX: Final = 8
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer or a configuration; `open` gives a reader of its own to each caller."""

    digest: str
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as its bytes say, its digest checked. `read_document` makes it."""

    content: bytes
    media_type: str
    digest: str
    body: dict[str, Any] = field(repr=False)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}

    @property
    def children(self) -> list[dict[str, Any]]:
        """The descriptors of an index; none of a manifest."""
        return _listed(self.body, "manifests") if self.is_index else []

    @property
    def blobs(self) -> list[dict[str, Any]]:
        """The descriptors of the configuration, if there is one, and the layers."""
        if self.is_index:
            return []
        config = self.body.get("config")
        return [*([config] if isinstance(config, dict) else []), *self.layers]

    @property
    def layers(self) -> list[dict[str, Any]]:
        return [] if self.is_index else _listed(self.body, "layers")

    @property
    def artifact_type(self) -> str | None:
        """What an artifact says it is. Source: image-spec 1.1, "Guidelines for Artifact Usage"."""
        config = self.body.get("config")
        found = self.body.get("artifactType")
        if not found and isinstance(config, dict):
            found = config.get("mediaType")
        return found if isinstance(found, str) else None

    @property
    def subject(self) -> str | None:
        """The digest of what this is about."""
        subject = self.body.get("subject")
        digest = subject.get("digest") if isinstance(subject, dict) else None
        return digest if is_digest(digest) else None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest with its blobs, or an index with its children; `content` as it was written."""

    content: bytes
    media_type: str
    digest: str
    blobs: tuple[Blob, ...] = ()
    children: tuple[Manifest, ...] = ()

    def all_blobs(self) -> dict[str, Blob]:
        """Give the blobs of this and all manifests below, by digest."""
        found = {blob.digest: blob for blob in self.blobs}
        for child in self.children:
            found |= child.all_blobs()
        return found

    def bottom_up(self) -> Iterator[Manifest]:
        """Give all manifests, children before those that name them, each once."""
        seen: set[str] = set()
        for child in self.children:
            for each in child.bottom_up():
                if each.digest not in seen:
                    seen.add(each.digest)
                    yield each
        yield self


def read_document(content: bytes, media_type: str | None, digest: str, place: str) -> Document:
    """Read a manifest that must have this digest; `place` says where it is from, for errors.

    Every digest in it is one, and every size a number, so that they may name files and be added.
    Raises `CommandError`.
    """
    if not is_digest(digest):
        raise CommandError(f"{place} names a manifest {digest!r}, which is no digest")
    if not matches_digest(content, digest):
        raise CommandError(f"{place} is damaged: {digest} has another digest")
    try:
        body = json.loads(content)
    except ValueError as error:
        raise CommandError(f"{place}: {digest} is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise CommandError(f"{place}: {digest} is no manifest")
    stated = body.get("mediaType") or media_type
    if not isinstance(stated, str):
        stated = OCI_INDEX if "manifests" in body else OCI_MANIFEST
    document = Document(content, stated, digest, body)
    check_descriptors([*document.children, *document.blobs], place)
    return document


def check_descriptors(descriptors: Any, place: str) -> list[dict[str, Any]]:
    """Give the descriptors, each with a digest and a size; raises `CommandError`."""
    if not isinstance(descriptors, list):
        raise CommandError(f"{place} is damaged: {descriptors!r} is no list of descriptors")
    for each in descriptors:
        digest = each.get("digest") if isinstance(each, dict) else None
        # Digests become file names, so nothing else may pass.
        if not is_digest(digest):
            raise CommandError(f"{place} is damaged: {digest!r} is no digest")
        size = each.get("size")
        if not isinstance(size, int) or size < 0:
            raise CommandError(f"{place} is damaged: {digest} has the size {size!r}")
    return descriptors


def is_digest(text: object) -> bool:
    """Tell whether this is a digest in full, and so safe in the name of a file."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def digest_of(content: bytes) -> str:
    """Give the sha256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def matches_digest(content: bytes, digest: str) -> bool:
    """Tell whether the bytes have this digest, one that `is_digest`."""
    algorithm, _, value = digest.partition(":")
    return hashlib.new(algorithm, content).hexdigest() == value


def platform_of(descriptor: dict[str, Any]) -> str:
    """Give a descriptor's platform as people write it: `linux/arm64/v8`; empty if it has none."""
    platform = descriptor.get("platform") or {}
    return platform_name(platform) if isinstance(platform, dict) else ""


def platform_name(values: dict[str, Any]) -> str:
    """Give `os`, `architecture` and `variant`, of a platform or a configuration, as one text."""
    parts = [values.get(key) for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if isinstance(part, str) and part)


def _listed(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = body.get(name)
    return found if isinstance(found, list) else []
