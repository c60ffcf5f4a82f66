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
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.operations.authorization import Opener, admit, open_repository, open_to_delete
from ecrate.operations.core import Core
from ecrate.operations.registry import is_mounting_blobs
from ecrate.store import layers as store
from ecrate.store.repositories import exists

_RENEW_EVERY: Final = 3600.0
_MOUNT_SOURCES: Final = 16
_DOWNLOAD: Final = "download"
DOWNLOAD_LIFETIME: Final = 3600


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
                layer = store.find_layer(tx, found.id, digest)
                # AWS: user guide, "Blob mounting": both repositories are encrypted alike.
                if layer is None or found.encryption != repository.encryption:
                    continue
                if store.is_archived_layer(tx, found.id, layer.blob_id, core.clock()):
                    continue
                blob = store.find_blob(tx, digest)
                if blob is not None:
                    store.link_layer(tx, repository.id, blob[0], core.clock())
                    return True
    return False


def delete_layer(core: Core, caller: Caller, ref: RepositoryRef, digest: str) -> None:
    """Take the layer out of the repository; raises `LayerNotFound`, `LayerInUse`."""
    with core.database.write() as tx:
        repository = open_to_delete(tx, caller, ref, "BatchDeleteImage")
        layer = store.find_layer(tx, repository.id, digest)
        if layer is None:
            raise LayerNotFound(digest, ref.name, ref.registry.id)
        if not store.unlink_layer(tx, repository.id, layer.blob_id):
            raise LayerInUse(digest)


@dataclass(frozen=True, slots=True)
class LayerAvailability:
    """One answer of `batch_check_layer_availability`; `layer` is None where there is none.

    `is_archived`: the images that need it are all archived.
    """

    digest: str
    layer: Layer | None
    media_type: str | None = None
    is_archived: bool = False


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
    return _readable_layer(core, caller, ref, digest, "BatchCheckLayerAvailability")[1]


def _readable_layer(
    core: Core, caller: Caller, ref: RepositoryRef, digest: str, action: str
) -> tuple[Repository, Layer]:
    with core.database.look() as tx:
        found, layer, has_archived = store.open_layer(tx, ref, digest)
        repository = admit(tx, caller, ref, action, found)
        if layer is None:
            raise LayerNotFound(digest, ref.name, ref.registry.id)
        if has_archived and store.is_archived_layer(tx, repository.id, layer.blob_id, core.clock()):
            raise LayerInaccessible(digest, ref.name, ref.registry.id)
    return repository, layer


def _downloadable_layer(
    core: Core, caller: Caller, ref: RepositoryRef, digest: str
) -> tuple[Repository, Layer]:
    repository, layer = _readable_layer(core, caller, ref, digest, "GetDownloadUrlForLayer")
    if core.parity:
        with core.database.look() as tx:
            media_type = store.find_layer_media_type(tx, repository.id, layer.blob_id)
        if media_type is None:
            # AWS: API reference of GetDownloadUrlForLayer: only layers that an image refers to.
            raise LayerInaccessible(digest, ref.name, ref.registry.id)
    return repository, layer


def is_fading(core: Core, layer: Layer) -> bool:
    """Tell whether part of the layer's grace period is over."""
    renew_after = min(_RENEW_EVERY, core.limits.layer_grace / 2)
    return core.clock() - layer.touched_at > renew_after


def renew_layers(core: Core, caller: Caller, ref: RepositoryRef, digests: Sequence[str]) -> None:
    """Begin a new grace period for those of the layers that are still there."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "BatchCheckLayerAvailability")
        store.touch_layers(tx, repository.id, digests, core.clock())


def _availability(
    core: Core, caller: Caller, ref: RepositoryRef, digests: Sequence[str]
) -> list[LayerAvailability]:
    with core.database.look() as tx:
        repository = open_repository(tx, caller, ref, "BatchCheckLayerAvailability")
        found = store.list_layers(tx, repository.id, digests, core.clock())
    return [LayerAvailability(digest, *found.get(digest, (None,))) for digest in digests]


def find_layer(core: Core, caller: Caller, ref: RepositoryRef, digest: str) -> Layer:
    """Give a layer that the caller may download; raises `LayerNotFound`, `LayerInaccessible`."""
    return _downloadable_layer(core, caller, ref, digest)[1]


@dataclass(frozen=True, slots=True)
class Download:
    """Where a layer can be had for an hour: at a URL of the blob store, or, where that has none for
    clients, at our own `/layers/<seal>`.
    """

    url: str | None
    seal: str = ""


def get_download_url_for_layer(
    core: Core, caller: Caller, ref: RepositoryRef, digest: str
) -> Download:
    """Tell where to download one layer of this very repository."""
    repository, layer = _downloadable_layer(core, caller, ref, digest)
    url = find_url(core, layer, DOWNLOAD_LIFETIME)
    if url is not None:
        return Download(url)
    payload = {
        "repository": repository.id,
        "digest": digest,
        "account": ref.registry.id,
        "exp": core.clock() + DOWNLOAD_LIFETIME,
    }
    return Download(None, core.seals.seal(_DOWNLOAD, payload))


def find_url(core: Core, layer: Layer, lifetime: int) -> str | None:
    """Give a URL where the layer can be had for `lifetime` seconds without us, if there is one."""
    return core.blobs.url(layer.key, lifetime)


def find_layer_to_download(core: Core, seal: str) -> Layer:
    """Give the layer that a download URL names; raises `InvalidToken`, `ExpiredToken`,
    `LayerNotFound` when the layer or its repository is gone, or archived.
    """
    payload = core.seals.open(_DOWNLOAD, seal, core.clock())
    repository_id = payload["repository"]
    with core.database.look() as tx:
        is_there = exists(tx, repository_id)
        layer = store.find_layer(tx, repository_id, payload["digest"]) if is_there else None
        if layer and store.is_archived_layer(tx, repository_id, layer.blob_id, core.clock()):
            layer = None
    if layer is None:
        raise LayerNotFound(payload["digest"], "", "")
    return layer


def registry_of_download(core: Core, seal: str) -> RegistryRef:
    """Give the registry whose layer a download URL names; raises as `find_layer_to_download`."""
    account = core.seals.open(_DOWNLOAD, seal, core.clock())["account"]
    return RegistryRef(account, core.default_registry.region)


def open_layer(core: Core, layer: Layer, start: int = 0) -> BinaryIO:
    """Open the layer's bytes from byte `start` on; they stay readable through the handle whatever
    happens to it.
    """
    return core.blobs.open_blob(layer.key, start)
