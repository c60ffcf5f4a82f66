"""Manifests: what a pushed document is, what it needs, and when it is refused.

Sources: OCI image-spec 1.1 (manifest.md, image-index.md), Docker image manifest version 2
schema 2, and for the refusals CVE-2021-41190 (one document read in two ways).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.names import Digest
from ecrate.domain.values import value

MAX_MANIFEST_SIZE: Final = 4_194_304
# AWS: the service model's limit of artifactType; RFC 6838 leaves no room for longer ones.
_MAX_MEDIA_TYPE: Final = 255
_MAX_SIZE: Final = 2**63 - 1

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST}) | INDEX_TYPES
# Each member under what it is where case does not count.
_MEMBERS: Final = {
    name.casefold(): name
    for name in (
        *("schemaVersion", "mediaType", "config", "layers", "manifests", "subject"),
        *("artifactType", "annotations"),
    )
}
_DESCRIPTOR_MEMBERS: Final = {
    name.casefold(): name
    for name in (
        *("mediaType", "digest", "size", "urls", "annotations", "data", "platform"),
        "artifactType",
    )
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference from a manifest. `is_foreign`: its bytes are kept elsewhere (`urls`)."""

    digest: Digest
    size: int
    media_type: str
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A pushed document, kept byte for byte, and what it refers to.

    `layers` holds the config first, then the layers; `children` the entries of an index.
    `artifact_media_type` is ECR's: the manifest's artifactType, else its config's media type.
    """

    content: bytes
    digest: Digest
    media_type: str
    artifact_media_type: str | None
    layers: tuple[Descriptor, ...]
    children: tuple[Descriptor, ...]
    subject: Digest | None
    annotations: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes of config and layers together, as ECR's imageSizeInBytes counts them."""
        return sum(layer.size for layer in self.layers)


@value
class Storage:
    """Where an image stands between the storage classes; times are epoch seconds or None.

        ACTIVE --archive--> ARCHIVED --restore--> ACTIVATING --time passes--> ACTIVE

    `status` is what was written last. Nobody writes that a restore has ended: it has once
    `activated_at`, which lies in the future until then, is reached.
    """

    status: str = "ACTIVE"
    archived_at: float | None = None
    activated_at: float | None = None

    def status_at(self, now: float) -> str:
        """Give ACTIVE, ARCHIVED or ACTIVATING."""
        if self.status == "ACTIVATING" and (self.activated_at or 0.0) <= now:
            return "ACTIVE"
        return self.status


@value
class Image:
    """A manifest as one repository has it; times are seconds since the epoch.

    `checked_at` is that of the tag it was found by: when that was last compared with upstream's,
    None for one that did not come from there.
    """

    id: int
    digest: Digest
    media_type: str
    artifact_media_type: str | None
    size: int
    pushed_at: float
    last_pulled_at: float | None
    subject: str | None
    tag_count: int
    storage: Storage
    checked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Referrer:
    """An image that names another as its subject, as the referrers API describes it.

    `size` is that of the manifest's own bytes; `id` orders the list.
    """

    id: int
    digest: Digest
    media_type: str
    size: int
    artifact_type: str | None
    annotations: dict[str, str]
    storage: Storage


def parse_manifest(
    content: bytes, media_type: str | None = None, *, algorithm: str = "sha256"
) -> Manifest:
    """Read a manifest; `media_type` is what the client declared (parameter or Content-Type).

    Raises `InvalidParameter` for everything that is not exactly one well formed manifest.
    """
    if len(content) > MAX_MANIFEST_SIZE:
        _refuse(f"Member must have length less than or equal to {MAX_MANIFEST_SIZE}")
    document = _load(content)
    _check_spelling(document, _MEMBERS)
    kind = _media_type(document, media_type)
    is_index = kind in INDEX_TYPES
    if is_index and ("layers" in document or "config" in document):
        _refuse("An image index must not have 'layers' or 'config'")
    if not is_index and "manifests" in document:
        _refuse("An image manifest must not have 'manifests'")
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    config_type: str | None = None
    if is_index:
        children = _descriptors(document, "manifests")
    else:
        config = _descriptor(document.get("config"), "config")
        config_type = config.media_type
        layers = (config, *_descriptors(document, "layers"))
    if sum(layer.size for layer in layers) > _MAX_SIZE:
        _refuse("The sizes of 'layers' must be counts of bytes")
    artifact_type = document.get("artifactType")
    if artifact_type is not None and not _is_media_type(artifact_type):
        _refuse(f"'artifactType' must be a text of at most {_MAX_MEDIA_TYPE} characters")
    subject = document.get("subject")
    annotations = document.get("annotations") or {}
    if not isinstance(annotations, dict) or not all(
        isinstance(value, str) for value in annotations.values()
    ):
        _refuse("'annotations' must be a map of strings")
    return Manifest(
        content=content,
        digest=Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"),
        media_type=kind,
        artifact_media_type=artifact_type or config_type,
        layers=layers,
        children=children,
        subject=None if subject is None else _descriptor(subject, "subject").digest,
        annotations=annotations,
    )


def _refuse(constraint: str) -> NoReturn:
    raise InvalidParameter("ImageManifest", constraint)


def _load(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            content.decode(), object_pairs_hook=_unique, parse_constant=_no_constant
        )
        if b"\\u" in content:
            # Half a surrogate pair is no text: it can be neither stored nor sent.
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # AWS: text as recorded by other implementations' tests.
        raise InvalidParameter("ImageManifest", "Invalid JSON syntax") from None
    if not isinstance(document, dict):
        raise InvalidParameter("ImageManifest", "Invalid JSON syntax")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two parsers may pick different ones of two equal keys, and so see two different images.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _check_spelling(given: dict[str, Any], members: dict[str, str], where: str = "") -> None:
    """Refuse a member that Go's parser, which ignores case, would take for one of `members`."""
    for name in given:
        meant = members.get(name.casefold(), name)
        if meant != name:
            _refuse(f"'{where}{name}' must be spelled '{where}{meant}'")


def _no_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _media_type(document: dict[str, Any], declared: str | None) -> str:
    inside = document.get("mediaType")
    if inside is not None and not isinstance(inside, str):
        _refuse("'mediaType' must be a string")
    if inside and declared and inside != declared:
        _refuse(f"The manifest's mediaType '{inside}' differs from the declared '{declared}'")
    found = inside or declared or _inferred(document)
    if found not in MANIFEST_TYPES:
        _refuse(f"Unsupported manifest media type '{found}'")
    if document.get("schemaVersion") != 2:  # noqa: PLR2004 - both specifications say 2
        _refuse("'schemaVersion' must be 2")
    return str(found)


def _inferred(document: dict[str, Any]) -> str:
    if isinstance(document.get("manifests"), list):
        return OCI_INDEX
    if isinstance(document.get("config"), dict):
        return OCI_MANIFEST
    _refuse("Manifest media type must be provided")


def _is_media_type(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_MEDIA_TYPE and "\0" not in value


def _descriptors(document: dict[str, Any], member: str) -> tuple[Descriptor, ...]:
    entries = document.get(member)
    if not isinstance(entries, list):
        raise InvalidParameter("ImageManifest", f"'{member}' must be a list")
    return tuple(_descriptor(entry, f"{member}[{i}]") for i, entry in enumerate(entries))


def _descriptor(entry: object, where: str) -> Descriptor:
    if not isinstance(entry, dict):
        raise InvalidParameter("ImageManifest", f"'{where}' must be a descriptor")
    _check_spelling(entry, _DESCRIPTOR_MEMBERS, f"{where}.")
    digest, size, media_type = entry.get("digest"), entry.get("size"), entry.get("mediaType")
    if not isinstance(digest, str) or not isinstance(media_type, str):
        raise InvalidParameter("ImageManifest", f"'{where}' needs mediaType and digest")
    if not _is_media_type(media_type):
        raise InvalidParameter(
            "ImageManifest",
            f"'{where}.mediaType' must be a text of at most {_MAX_MEDIA_TYPE} characters",
        )
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
        raise InvalidParameter("ImageManifest", f"'{where}.size' must be a count of bytes")
    try:
        parsed = Digest.parse(digest)
    except InvalidParameter:
        raise InvalidParameter("ImageManifest", f"'{where}.digest' is not a digest") from None
    return Descriptor(parsed, size, media_type, is_foreign=bool(entry.get("urls")))
