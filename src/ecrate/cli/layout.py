"""Images in OCI layouts and `docker save` archives, read into what a push needs.

Archives of current docker are both: the layout's `index.json` is preferred, since its manifests
are kept as they are.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any, Final

from ecrate.cli.archive import FileSource
from ecrate.cli.failures import CommandError
from ecrate.cli.manifests import (
    DEEPEST_INDEX,
    LARGEST_MANIFEST,
    Blob,
    Document,
    Manifest,
    check_descriptors,
    platform_of,
    read_document,
)

REFERENCE_NAME: Final = "org.opencontainers.image.ref.name"
IMAGE_NAME: Final = "io.containerd.image.name"


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
    named = index.get("manifests") if isinstance(index, dict) else None
    entries = check_descriptors(named or [], source.description)
    chosen = _pick(source, entries, choice)
    if choice.platform and "platform" in chosen and platform_of(chosen) != choice.platform:
        raise _no_platform(source, [chosen], choice.platform)
    document = _read_document(source, chosen)
    if choice.platform and document.is_index:
        # The others need not be there: docker saves only those it has.
        for child in document.children:
            if platform_of(child) == choice.platform:
                return _read_manifest(source, child, 1)
        raise _no_platform(source, document.children, choice.platform)
    return _read_manifest(source, chosen, 0)


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
        content = file.read(LARGEST_MANIFEST + 1)
    if len(content) > LARGEST_MANIFEST:
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


def _read_document(source: FileSource, descriptor: dict[str, Any]) -> Document:
    digest = descriptor["digest"]
    if source.size(blob_path(digest)) is None:
        platform = platform_of(descriptor)
        raise CommandError(
            f"{source.description} does not have the manifest {digest}"
            + (f" for {platform}" if platform else "")
            + ". If it holds only some platforms, choose one with --platform, such as linux/amd64."
        )
    content = _read_small(source, blob_path(digest))
    return read_document(content, descriptor.get("mediaType"), digest, source.description)


def _read_manifest(source: FileSource, descriptor: dict[str, Any], depth: int) -> Manifest:
    found = _read_document(source, descriptor)
    if depth > DEEPEST_INDEX:
        raise CommandError(f"{source.description}: indexes are nested too deeply at {found.digest}")
    blobs = [_blob(source, each) for each in found.blobs]
    return Manifest(
        found.content,
        found.media_type,
        found.digest,
        blobs=tuple(blob for blob in blobs if blob is not None),
        children=tuple(_read_manifest(source, each, depth + 1) for each in found.children),
    )


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
