"""Images in OCI layouts and `docker save` archives, read into what a push needs.

An image is a manifest with the blobs it names, or an index with its child manifests. Blobs are
not read here; whoever pushes them opens them. Archives of current docker are both: the layout's
`index.json` is preferred, since its manifests are kept as they are.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from ecrate.cli.archive import FileSource
from ecrate.cli.failures import CommandError

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
MEDIA_TYPES: Final = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
_INDEXES: Final = (OCI_INDEX, DOCKER_LIST)
REFERENCE_NAME: Final = "org.opencontainers.image.ref.name"
IMAGE_NAME: Final = "io.containerd.image.name"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LARGEST_MANIFEST: Final = 4 * 1024 * 1024
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer or a configuration; `open` gives a reader of its own to each caller."""

    digest: str
    size: int
    open: Callable[[], BinaryIO]


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


@dataclass(frozen=True, slots=True)
class Choice:
    """What picks one image of several: a reference or digest given, else the tag pushed to."""

    reference: str | None
    tag: str | None
    platform: str | None


def is_layout(source: FileSource) -> bool:
    """Tell whether the source is an OCI layout."""
    return source.size("index.json") is not None


def read_layout(source: FileSource, choice: Choice) -> Manifest:
    """Read the image that `choice` picks; raises `CommandError` where that is none or several."""
    index = read_json(source, "index.json")
    entries = _descriptors(index, "manifests", source)
    chosen = _pick(source, entries, choice)
    if choice.platform and "platform" in chosen and platform_of(chosen) != choice.platform:
        raise _no_platform(source, [chosen], choice.platform)
    root = _read_manifest(source, chosen, 0)
    if choice.platform and root.children:
        children = json.loads(root.content)["manifests"]
        for descriptor, child in zip(children, root.children, strict=True):
            if platform_of(descriptor) == choice.platform:
                return child
        raise _no_platform(source, children, choice.platform)
    return root


def is_digest(text: object) -> bool:
    """Tell whether this is a digest in full, and so safe in the name of a file."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def platform_of(descriptor: dict[str, Any]) -> str:
    """Give a descriptor's platform as people write it: `linux/arm64/v8`; empty if it has none."""
    platform = descriptor.get("platform") or {}
    parts = [platform.get(key) for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if part)


def digest_of(content: bytes) -> str:
    """Give the sha256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def blob_path(digest: str) -> str:
    """Give where a layout keeps a blob."""
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def read_json(source: FileSource, name: str) -> Any:
    """Read a small JSON file; raises `CommandError`."""
    try:
        return json.loads(_read_small(source, name))
    except ValueError as error:
        raise CommandError(f"{source.description}: {name} is not JSON: {error}") from None


def _read_small(source: FileSource, name: str) -> bytes:
    with source.open(name) as file:
        content = file.read(_LARGEST_MANIFEST + 1)
    if len(content) > _LARGEST_MANIFEST:
        raise CommandError(f"{source.description}: {name} is larger than a manifest may be")
    return content


def _pick(source: FileSource, entries: list[dict[str, Any]], choice: Choice) -> dict[str, Any]:
    found = entries
    if choice.reference:
        found = [each for each in entries if _is_called(each, choice.reference)]
    elif len({each["digest"] for each in entries}) > 1 and choice.tag:
        found = [each for each in entries if _is_called(each, choice.tag)] or entries
    if choice.platform and len({each["digest"] for each in found}) > 1:
        found = [each for each in found if platform_of(each) == choice.platform] or found
    if len({each["digest"] for each in found}) == 1:
        return found[0]
    names = sorted({name for each in entries for name in (*_names(each), each["digest"])})
    problem = "has several images" if found else f"has no image '{choice.reference}'"
    raise CommandError(
        f"{source.description} {problem if entries else 'has no image'}. "
        f"Choose one with --reference: {', '.join(names) or 'there is none'}"
    )


def _is_called(descriptor: dict[str, Any], name: str) -> bool:
    return descriptor["digest"] == name or any(
        each == name or each.endswith(f":{name}") for each in _names(descriptor)
    )


def _names(descriptor: dict[str, Any]) -> list[str]:
    annotations = descriptor.get("annotations") or {}
    return [annotations[key] for key in (REFERENCE_NAME, IMAGE_NAME) if annotations.get(key)]


def _no_platform(
    source: FileSource, descriptors: list[dict[str, Any]], platform: str
) -> CommandError:
    known = ", ".join(platform_of(each) or "unknown" for each in descriptors)
    return CommandError(f"{source.description} has no image for {platform}; it has {known}")


def _read_manifest(source: FileSource, descriptor: dict[str, Any], depth: int) -> Manifest:
    digest = descriptor["digest"]
    if depth > _DEEPEST:
        raise CommandError(f"{source.description}: indexes are nested too deeply at {digest}")
    if source.size(blob_path(digest)) is None:
        platform = platform_of(descriptor)
        raise CommandError(
            f"{source.description} does not have the manifest {digest}"
            + (f" for {platform}" if platform else "")
            + ". If it holds only some platforms, choose one with --platform, such as linux/amd64."
        )
    content = _read_small(source, blob_path(digest))
    algorithm, _, value = digest.partition(":")
    if hashlib.new(algorithm, content).hexdigest() != value:
        raise CommandError(f"{source.description} is damaged: {digest} has another digest")
    body = read_json(source, blob_path(digest))
    media_type = body.get("mediaType") or descriptor.get("mediaType")
    if media_type is None:
        media_type = OCI_INDEX if "manifests" in body else OCI_MANIFEST
    if media_type in _INDEXES:
        children = tuple(
            _read_manifest(source, each, depth + 1)
            for each in _descriptors(body, "manifests", source)
        )
        return Manifest(content, media_type, digest, children=children)
    layers = _descriptors(body, "layers", source)
    config = [body["config"]] if isinstance(body.get("config"), dict) else []
    blobs = (_blob(source, each) for each in [*_checked(config, source), *layers])
    return Manifest(content, media_type, digest, tuple(blob for blob in blobs if blob is not None))


def _blob(source: FileSource, descriptor: dict[str, Any]) -> Blob | None:
    """Give the blob; None where it is not distributed with images (a foreign layer)."""
    digest, path = descriptor["digest"], blob_path(descriptor["digest"])
    size = source.size(path)
    if size is None and isinstance(descriptor.get("data"), str):
        data = base64.b64decode(descriptor["data"])
        return Blob(digest, len(data), lambda: io.BytesIO(data))
    if size is None and descriptor.get("urls"):
        return None
    if size is None:
        raise CommandError(
            f"{source.description} is incomplete: it does not have the blob {digest}"
        )
    if size != descriptor.get("size"):
        raise CommandError(
            f"{source.description} is damaged: the blob {digest} has {size} bytes instead of "
            f"{descriptor.get('size')}"
        )
    return Blob(digest, size, lambda: source.open(path))


def _descriptors(body: Any, name: str, source: FileSource) -> list[dict[str, Any]]:
    found = body.get(name) if isinstance(body, dict) else None
    return _checked(found if isinstance(found, list) else [], source)


def _checked(descriptors: list[Any], source: FileSource) -> list[dict[str, Any]]:
    for each in descriptors:
        digest = each.get("digest") if isinstance(each, dict) else None
        # Digests become file names, so nothing else may pass.
        if not is_digest(digest):
            raise CommandError(f"{source.description} is damaged: {digest!r} is no digest")
    return descriptors
