"""Small images, made up on the spot."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Blob:
    content: bytes
    media_type: str = OCI_LAYER

    @property
    def digest(self) -> str:
        return digest_of(self.content)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content)}


@dataclass(frozen=True)
class MadeImage:
    """A config and layers of random bytes, and the manifest that names them."""

    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        return (self.config, *self.layers)

    @property
    def document(self) -> dict[str, Any]:
        return {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.config.descriptor,
            "layers": [layer.descriptor for layer in self.layers],
        }

    @property
    def manifest(self) -> str:
        return json.dumps(self.document)

    @property
    def digest(self) -> str:
        return digest_of(self.manifest.encode())


def make_image(*sizes: int) -> MadeImage:
    """Make an image with one layer of random bytes a size."""
    config = {"architecture": "amd64", "os": "linux", "note": os.urandom(8).hex()}
    return MadeImage(
        Blob(json.dumps(config).encode(), OCI_CONFIG),
        tuple(Blob(os.urandom(size)) for size in sizes or (1000,)),
    )
