"""Layers as a repository has them: what may be read, mounted and deleted of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from ecrate.domain.errors import (
    AccessDenied,
    InvalidParameter,
    LayerInaccessible,
    LayerInUse,
    LayerNotFound,
    RepositoryNotFound,
)
from ecrate.domain.layers import Layer
from ecrate.domain.names import RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.operations.authorization import Opener, open_repository
from ecrate.operations.core import Core
from ecrate.operations.registry import is_mounting_blobs
from ecrate.store import layers as store
from ecrate.store.database import Transaction

_RENEW_EVERY: Final = 3600.0
_MOUNT_SOURCES: Final = 16
_DOWNLOAD: Final = "download"
DOWNLOAD_LIFETIME: Final = 3600.0


def mount_layer(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    digest: str,
    source: str | None,
    *,
    opened_by: Opener = open_repository,
) -> bool:
    """Link a layer of another repository of the same registry; tell whether that was done.

    Only from where the caller may pull it: `source`, or without one any such repository; and
    only while the registry's account setting allows it.
    """
    with core.database.write() as tx:
        repository = opened_by(tx, caller, ref, "InitiateLayerUpload")
        if not is_mounting_blobs(core, tx, ref.registry) or (core.parity and source is None):
            return False
        names = (
            store.list_repositories_with(tx, ref.registry, digest, _MOUNT_SOURCES)
            if source is None
            else [source]
        )
        for name in names:
            with contextlib.suppress(RepositoryNotFound, AccessDenied, InvalidParameter):
                place = RepositoryRef.parse(ref.registry, name)
                found = open_repository(tx, caller, place, "GetDownloadUrlForLayer", locks=False)
                layer = store.find_layer(tx, found.id, digest, core.clock())
                if layer is None or layer.is_archived:
                    continue
                # AWS: user guide, "Blob mounting": both repositories are encrypted alike.
                if found.encryption != repository.encryption:
                    continue
                blob = store.find_blob(tx, digest)
                if blob is not None:
                    store.link_layer(tx, repository.id, blob[0], core.clock())
                    return True
    return False


def delete_layer(core: Core, caller: Caller, ref: RepositoryRef, digest: str) -> None:
    """Take the layer out of the repository; raises `LayerNotFound`, `LayerInUse`."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "BatchDeleteImage")
        layer = store.find_layer(tx, repository.id, digest, core.clock())
        if layer is None:
            raise LayerNotFound(digest, ref.name, ref.registry.id)
        if not store.unlink_layer(tx, repository.id, layer.blob_id):
            raise LayerInUse(digest)


@dataclass(frozen=True, slots=True)
class LayerAvailability:
    """One answer of `batch_check_layer_availability`; `layer` is None where there is none."""

    digest: str
    layer: Layer | None


def batch_check_layer_availability(
    core: Core, caller: Caller, ref: RepositoryRef, digests: Sequence[str]
) -> list[LayerAvailability]:
    """Tell which layers the repository has. A layer said to be there stays a grace period."""
    answers = _availability(core, caller, ref, digests)
    fading = [a.digest for a in answers if a.layer is not None and is_fading(core, a.layer)]
    if not fading:
        return answers
    renew_layers(core, caller, ref, fading)
    # The collector may have been between the first look and the renewal.
    return _availability(core, caller, ref, digests)


def check_layer(core: Core, caller: Caller, ref: RepositoryRef, digest: str) -> Layer:
    """Give one layer; raises `LayerNotFound`, `LayerInaccessible`. One that `is_fading` has to
    be renewed, and checked again, before a client may be told that it is there.
    """
    with core.database.peek() as tx:
        repository = open_repository(tx, caller, ref, "BatchCheckLayerAvailability")
        return _readable_layer(core, tx, repository, digest)


def _readable_layer(core: Core, tx: Transaction, repository: Repository, digest: str) -> Layer:
    name, registry = repository.ref.name, repository.ref.registry
    layer = store.find_layer(tx, repository.id, digest, core.clock())
    if layer is None:
        raise LayerNotFound(digest, name, registry.id)
    if layer.is_archived:
        raise LayerInaccessible(digest, name, registry.id)
    return layer


def is_fading(core: Core, layer: Layer) -> bool:
    """Tell whether part of the layer's grace period is over."""
    return core.clock() - layer.touched_at > _RENEW_EVERY


def renew_layers(core: Core, caller: Caller, ref: RepositoryRef, digests: Sequence[str]) -> None:
    """Begin a new grace period for those of the layers that are still there."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "BatchCheckLayerAvailability")
        store.touch_layers(tx, repository.id, digests, core.clock())


def _availability(
    core: Core, caller: Caller, ref: RepositoryRef, digests: Sequence[str]
) -> list[LayerAvailability]:
    with core.database.peek() as tx:
        repository = open_repository(tx, caller, ref, "BatchCheckLayerAvailability")
        found = store.find_layers(tx, repository.id, digests, core.clock())
    return [LayerAvailability(digest, found.get(digest)) for digest in digests]


def find_layer(core: Core, caller: Caller, ref: RepositoryRef, digest: str) -> Layer:
    """Give a layer that the caller may download; raises `LayerNotFound`, `LayerInaccessible`."""
    with core.database.peek() as tx:
        repository = open_repository(tx, caller, ref, "GetDownloadUrlForLayer")
        return _readable_layer(core, tx, repository, digest)


def get_download_url_for_layer(core: Core, caller: Caller, ref: RepositoryRef, digest: str) -> str:
    """Give a seal for `/layers/<seal>`: one layer of this very repository, for an hour."""
    with core.database.peek() as tx:
        repository = open_repository(tx, caller, ref, "GetDownloadUrlForLayer")
        _readable_layer(core, tx, repository, digest)
    payload = {
        "repository": repository.id,
        "digest": digest,
        "exp": core.clock() + DOWNLOAD_LIFETIME,
    }
    return core.seals.seal(_DOWNLOAD, payload)


def find_layer_to_download(core: Core, seal: str) -> Layer:
    """Give the layer that a download URL names; raises `InvalidToken`, `ExpiredToken`,
    `LayerNotFound` when the layer or its repository is gone, or archived.
    """
    payload = core.seals.open(_DOWNLOAD, seal, core.clock())
    with core.database.peek() as tx:
        layer = store.find_layer(tx, payload["repository"], payload["digest"], core.clock())
    if layer is None or layer.is_archived:
        raise LayerNotFound(payload["digest"], "", "")
    return layer


def open_layer(core: Core, layer: Layer) -> BinaryIO:
    """Open the layer's bytes; they stay readable through the handle whatever happens to it."""
    return core.blobs.open_blob(layer.key)
