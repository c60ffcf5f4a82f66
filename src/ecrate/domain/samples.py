"""Sample images: real ones that any client can pull, of made-up content, the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass
from typing import Final

from ecrate.domain.images import OCI_MANIFEST

CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_LARGEST: Final = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """An image: its manifest, and the bytes of its config and layers."""

    manifest: bytes
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_sample(
    name: str, *, size: int = 1000, layers: int = 1, platform: str = "linux/amd64"
) -> Sample:
    """Make an image of `layers` layers, each with one file of `size` bytes that follow from `name`.

    Raises `ValueError` for what is too large to be made in memory, or is no platform.
    """
    if not 0 <= size * max(layers, 1) <= _LARGEST or not 0 <= layers <= 100:  # noqa: PLR2004
        raise ValueError(f"at most 100 layers and {_LARGEST} bytes")
    system, slash, architecture = platform.partition("/")
    if not slash:
        raise ValueError("a platform is OS/ARCHITECTURE")
    archives = [_archive(f"{name} {number}", size) for number in range(layers)]
    return image_of(archives, name=name, system=system, architecture=architecture)


def image_of(archives: list[bytes], *, name: str, system: str, architecture: str) -> Sample:
    """Make an image of these layers, tar archives."""
    config = {
        "architecture": architecture,
        "os": system,
        "config": {"Labels": {"name": name}},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in archives]},
        "history": [{"created_by": f"ecrate: layer {n}"} for n in range(len(archives))],
    }
    blobs = (_json(config), *archives)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(CONFIG, blobs[0]),
        "layers": [_descriptor(LAYER, one) for one in archives],
    }
    return Sample(_json(manifest), blobs)


def _archive(name: str, size: int) -> bytes:
    content = random.Random(name).randbytes(size)  # noqa: S311 - content, not a secret
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo(f"sample/{digest_of(content)[7:19]}")
        entry.size, entry.mode = size, 0o644
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
