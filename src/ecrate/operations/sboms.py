"""Software bills of materials: pushed as referrers of the images they are about.

Source: image-spec 1.1, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from ecrate import __version__
from ecrate.domain.errors import ImageAlreadyExists
from ecrate.domain.images import OCI_MANIFEST, parse_manifest
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.operations.core import Core
from ecrate.operations.holds import holding
from ecrate.operations.images import put_image
from ecrate.operations.uploads import NewBlob, settle_blob
from ecrate.scanning.inventory import Inventory
from ecrate.scanning.sbom import CYCLONEDX, SPDX, Subject, write_cyclonedx, write_spdx
from ecrate.store import layers
from ecrate.store.blobs import Garbage, insert_garbage
from ecrate.store.database import Transaction
from ecrate.store.images import find_image, read_manifest
from ecrate.store.repositories import find_repository
from ecrate.store.scans import ScannedImage

ACTOR: Final = "scans"
_EMPTY: Final = b"{}"
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_WRITERS: Final[dict[str, Callable[[Inventory, Subject], bytes]]] = {
    CYCLONEDX: write_cyclonedx,
    SPDX: write_spdx,
}


def push_sboms(core: Core, image: ScannedImage, inventory: Inventory) -> None:
    """Push the image's bills of materials; the same again changes nothing.

    Raises `EcrateError` as a push does, `LimitExceeded` for a full repository among them.
    """
    subject = Subject(image.ref.name, image.digest.text, image.pushed_at, __version__)
    for media_type, write in _WRITERS.items():
        document = write(inventory, subject)
        manifest = _manifest(core, image, media_type, document)
        if manifest is None:
            return
        with holding(core):
            for content in (_EMPTY, document):
                _put_layer(core, image.ref, content)
        account = image.ref.registry.id
        caller = Caller(f"arn:aws:iam::{account}:root", "", image.ref.registry, is_root=True)
        try:
            put_image(
                core, caller, image.ref, parse_manifest(manifest), [], opened_by=_open, actor=ACTOR
            )
        except ImageAlreadyExists:
            continue


def _open(tx: Transaction, _: Caller, ref: RepositoryRef, __: str) -> Repository:
    """Open the repository for the server itself."""
    return find_repository(tx, ref)


def _digest(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def _manifest(core: Core, image: ScannedImage, media_type: str, document: bytes) -> bytes | None:
    """Give the artifact's manifest; None where the image is gone."""
    with core.database.look() as tx:
        row = find_image(tx, image.repository_id, image.digest.text)
        content = None if row is None else read_manifest(tx, row.id)
    if row is None or content is None:
        return None
    created = datetime.fromtimestamp(image.pushed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": media_type,
            "config": _descriptor(_EMPTY_TYPE, _EMPTY),
            "layers": [_descriptor(media_type, document)],
            "subject": {
                "mediaType": row.media_type,
                "digest": image.digest.text,
                "size": len(content),
            },
            "annotations": {"org.opencontainers.image.created": created},
        },
        separators=(",", ":"),
    ).encode()


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content).text, "size": len(content)}


def _put_layer(core: Core, ref: RepositoryRef, content: bytes) -> None:
    """Store bytes as a layer of the repository, unless they are stored already."""
    digest, now = _digest(content), core.clock()
    with core.database.write() as tx:
        repository = find_repository(tx, ref)
        blob = layers.find_blob(tx, digest.text)
        if blob is not None and not blob[2]:
            layers.link_layer(tx, repository.id, blob[0], now)
            return
    new = NewBlob(digest, core.new_id(), len(content))
    core.blobs.put(new.key, io.BytesIO(content), new.size)
    with core.database.write() as tx:
        repository = find_repository(tx, ref)
        blob_id, unused, _ = settle_blob(tx, new, lost=None, now=now)
        insert_garbage(tx, [Garbage(unused)] if unused else [], 0.0)
        layers.link_layer(tx, repository.id, blob_id, now)
