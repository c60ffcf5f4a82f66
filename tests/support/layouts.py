"""OCI layouts on disk: written for a client to push, read back to compare what it pulled."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.images import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Blob,
    MadeImage,
    digest_of,
)

_NAME = "org.opencontainers.image.ref.name"


def pack_image(layers: Sequence[Path], *, architecture: str = "amd64") -> MadeImage:
    """Make a real image of uncompressed tar files, gzipped."""
    tars = [layer.read_bytes() for layer in layers]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/bash"], "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        "history": [{"created_by": layer.name} for layer in layers],
    }
    return MadeImage(
        Blob(json.dumps(config).encode(), OCI_CONFIG),
        tuple(Blob(gzip.compress(tar, 1, mtime=0), OCI_LAYER) for tar in tars),
    )


def pack_index(images: Mapping[str, MadeImage]) -> str:
    """Make the index document of images by architecture."""
    manifests = [
        manifest_descriptor(image.manifest, OCI_MANIFEST)
        | {"platform": {"os": "linux", "architecture": architecture}}
        for architecture, image in images.items()
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def manifest_descriptor(document: str, media_type: str) -> dict[str, Any]:
    content = document.encode()
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def write_layout(
    folder: Path, images: Iterable[MadeImage], named: Mapping[str, tuple[str, str]]
) -> None:
    """Write the images, and the `named` documents (with their media types) under names."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    contents = [blob.content for image in images for blob in image.blobs]
    contents += [image.manifest.encode() for image in images]
    contents += [document.encode() for document, _ in named.values()]
    for content in contents:
        (blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)
    entries = [
        manifest_descriptor(document, media_type) | {"annotations": {_NAME: name}}
        for name, (document, media_type) in named.items()
    ]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def read_blobs(folder: Path) -> dict[str, bytes]:
    """Give all blobs of a layout, manifests among them, by digest."""
    blobs = folder / "blobs" / "sha256"
    return {f"sha256:{file.name}": file.read_bytes() for file in blobs.iterdir()}
