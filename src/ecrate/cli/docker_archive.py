"""Archives of `docker save` that are not OCI layouts: `manifest.json`, a file per layer.

Their layers are plain tar files and their manifest was never written, so both are made here as
`docker push` makes them: layers compressed, the same bytes each time, and a manifest of docker's
second schema. Layers that are compressed already stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from ecrate.cli.archive import MIB, FileSource
from ecrate.cli.failures import CommandError
from ecrate.cli.layout import Choice, read_json
from ecrate.cli.manifests import DOCKER_MANIFEST, Blob, Manifest, digest_of

_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
_GZIP: Final = 16 + zlib.MAX_WBITS  # a gzip header without time and name
_LEVEL: Final = 6

Report = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class RawLayer:
    """A layer as the archive has it; `diff_id` is the digest its plain bytes must have."""

    name: str
    size: int
    diff_id: str


@dataclass(frozen=True, slots=True)
class DockerImage:
    """One image of the archive."""

    config: bytes
    layers: tuple[RawLayer, ...]


@dataclass(frozen=True, slots=True)
class PreparedLayer:
    """A layer ready to push."""

    blob: Blob
    media_type: str


def is_docker_archive(source: FileSource) -> bool:
    """Tell whether the source is an archive of `docker save`."""
    return source.size("manifest.json") is not None


def read_docker_archive(source: FileSource, choice: Choice) -> DockerImage:
    """Read which layers the image that `choice` picks is made of; raises `CommandError`."""
    entry = _pick(source, read_json(source, "manifest.json"), choice)
    with source.open(entry["Config"]) as file:
        config = file.read()
    try:
        diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{source.description}: {entry['Config']} describes no image") from None
    names = entry.get("Layers") or []
    if len(names) != len(diff_ids):
        raise CommandError(
            f"{source.description} is damaged: {len(names)} layers and {len(diff_ids)} digests"
        )
    layers = []
    for name, diff_id in zip(names, diff_ids, strict=True):
        size = source.size(name)
        if size is None:
            raise CommandError(f"{source.description} is incomplete: it has no layer {name}")
        layers.append(RawLayer(name, size, diff_id))
    return DockerImage(config, tuple(layers))


def prepare_layer(
    source: FileSource, layer: RawLayer, directory: Path, report: Report, *, compress: bool
) -> PreparedLayer:
    """Compress a layer into a file of `directory`, or take it as it is; its digest is checked.

    `report` is told how many bytes of the archive were read.
    """
    with source.open(layer.name) as file:
        is_compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if compress and not is_compressed:
            return _compress(source, layer, file, directory, report)
        plain, given = hashlib.sha256(), hashlib.sha256()
        inflate = zlib.decompressobj(_GZIP)
        for piece in iter(lambda: file.read(MIB), b""):
            given.update(piece)
            plain.update(inflate.decompress(piece) if is_compressed else piece)
            report(len(piece))
    _check(source, layer, plain.hexdigest())
    blob = Blob(f"sha256:{given.hexdigest()}", layer.size, lambda: source.open(layer.name))
    return PreparedLayer(blob, f"{_LAYER}.gzip" if is_compressed else _LAYER)


def _compress(
    source: FileSource, layer: RawLayer, file: BinaryIO, directory: Path, report: Report
) -> PreparedLayer:
    plain, packed = hashlib.sha256(), hashlib.sha256()
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".tar.gz", delete=False) as made:
        for piece in iter(lambda: file.read(MIB), b""):
            plain.update(piece)
            compressed = deflate.compress(piece)
            packed.update(compressed)
            made.write(compressed)
            report(len(piece))
        rest = deflate.flush()
        packed.update(rest)
        made.write(rest)
        size = made.tell()
    _check(source, layer, plain.hexdigest())
    path = Path(made.name)
    blob = Blob(f"sha256:{packed.hexdigest()}", size, lambda: path.open("rb"))
    return PreparedLayer(blob, f"{_LAYER}.gzip")


def _check(source: FileSource, layer: RawLayer, hexdigest: str) -> None:
    if layer.diff_id != f"sha256:{hexdigest}":
        raise CommandError(
            f"{source.description} is damaged: the layer {layer.name} has the digest "
            f"sha256:{hexdigest} instead of {layer.diff_id}"
        )


def make_manifest(image: DockerImage, layers: list[PreparedLayer]) -> Manifest:
    """Give the manifest that `docker push` would write."""
    config = image.config
    config_blob = Blob(digest_of(config), len(config), lambda: _reader(config))
    body = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": _descriptor(_CONFIG, config_blob),
        "layers": [_descriptor(layer.media_type, layer.blob) for layer in layers],
    }
    content = json.dumps(body, indent=3).encode()
    blobs = (config_blob, *(layer.blob for layer in layers))
    return Manifest(content, DOCKER_MANIFEST, digest_of(content), blobs)


def _descriptor(media_type: str, blob: Blob) -> dict[str, Any]:
    return {"mediaType": media_type, "size": blob.size, "digest": blob.digest}


def _reader(content: bytes) -> BinaryIO:
    from io import BytesIO

    return BytesIO(content)


def _pick(source: FileSource, entries: Any, choice: Choice) -> dict[str, Any]:
    if not isinstance(entries, list) or not all(
        isinstance(each, dict) and isinstance(each.get("Config"), str) for each in entries
    ):
        raise CommandError(f"{source.description}: manifest.json is not docker's")
    if choice.platform:
        raise CommandError(f"{source.description} has one platform; leave --platform out")
    wanted = choice.reference or choice.tag
    found = [
        each
        for each in entries
        if any(tag == wanted or tag.endswith(f":{wanted}") for tag in each.get("RepoTags") or [])
    ]
    if not found and not choice.reference:
        found = entries
    if len(found) == 1:
        return dict(found[0])
    names = sorted(tag for each in entries for tag in each.get("RepoTags") or [])
    problem = "has several images" if found else f"has no image '{wanted}'"
    raise CommandError(
        f"{source.description} {problem}. Choose one with --reference: {', '.join(names)}"
    )
