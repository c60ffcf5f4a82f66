"""Replication between registries of this server: the bytes are there, so links and rows are enough.

What the source's account may do is asked of the destination's registry policy, in the transaction
that does it. Each step may be taken again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from ecrate.domain.errors import (
    ImageAlreadyExists,
    ImageTagAlreadyExists,
    RepositoryLocked,
    RepositoryNotFound,
)
from ecrate.domain.events import ReplicationAction
from ecrate.domain.images import Image, Manifest, parse_manifest
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.replication import ACTOR
from ecrate.domain.repositories import Repository, RepositorySettings
from ecrate.domain.templates import REPLICATION
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.operations.deletions import delete_whole_image, remove_tag
from ecrate.operations.events import note_replication
from ecrate.operations.images import put_image, read_manifest
from ecrate.operations.repositories import insert_repository
from ecrate.operations.templates import find_template, make_repository
from ecrate.store import images, layers
from ecrate.store.database import Transaction
from ecrate.store.repositories import find_repository


@dataclass(frozen=True, slots=True)
class Source:
    """An image to be replicated, in the repository that is there now."""

    repository: Repository
    image: Image


def find_source(core: Core, ref: RepositoryRef, digest: str) -> Source | None:
    """Give the image, None where it is gone."""
    with core.database.look() as tx, contextlib.suppress(RepositoryNotFound):
        repository = find_repository(tx, ref)
        image = images.find_image(tx, repository.id, digest)
        return None if image is None else Source(repository, image)
    return None


def read_source(core: Core, source: Source) -> tuple[Manifest, list[Source]]:
    """Give an image's manifest, and the images among its children that are there."""
    manifest = parse_manifest(
        read_manifest(core, source.image),
        source.image.media_type,
        algorithm=source.image.digest.algorithm,
    )
    digests = [child.digest.text for child in manifest.children]
    with core.database.look() as tx:
        found = images.find_images(tx, source.repository.id, digests)
    return manifest, [Source(source.repository, found[digest]) for digest in found]


def copy_image(core: Core, source: Source, tag: str | None, destination: RegistryRef) -> None:
    """Put the image, its children first, into the destination's repository of the same name.

    Raises what `put_image` raises, `AccessDenied` among it.
    """
    manifest, children = read_source(core, source)
    for child in children:
        copy_image(core, child, None, destination)
    copy = _Copy(core, source.repository, manifest, destination)
    try:
        copy.put(tag)
    except ImageTagAlreadyExists:
        # AWS: user guide, "Private image replication": it comes without the tag then.
        copy.put(None)


class _Copy:
    def __init__(
        self, core: Core, source: Repository, manifest: Manifest, destination: RegistryRef
    ) -> None:
        self._core = core
        self._source = source
        self._manifest = manifest
        self._ref = RepositoryRef(destination, source.ref.name)
        self._tag: str | None = None

    def put(self, tag: str | None) -> None:
        self._tag = tag
        caller = _sender(self._source.ref.registry, self._ref.registry)
        tags = [] if tag is None else [tag]
        # Nothing that was there already is told of.
        with contextlib.suppress(ImageAlreadyExists):
            put_image(
                self._core,
                caller,
                self._ref,
                self._manifest,
                tags,
                opened_by=self._open,
                actor=ACTOR,
            )

    def _open(self, tx: Transaction, caller: Caller, ref: RepositoryRef, _: str) -> Repository:
        """Give the repository with the layers that the image needs, which its rows then find."""
        authorize(tx, caller, ref.registry, "ReplicateImage", ref.arn)
        repository = _open_or_create(self._core, tx, caller, ref)
        now = self._core.clock()
        digests = [layer.digest.text for layer in self._manifest.layers]
        there = layers.list_blob_ids(tx, self._source.id, digests)
        for digest in sorted(there, key=there.__getitem__):
            blob = layers.find_blob(tx, digest)
            if blob is not None and not blob[2]:
                layers.link_layer(tx, repository.id, blob[0], now)
        action = ReplicationAction(self._source.ref.registry, self._manifest.digest.text, self._tag)
        note_replication(tx, ref, action, now=now)
        return repository


def _open_or_create(core: Core, tx: Transaction, caller: Caller, ref: RepositoryRef) -> Repository:
    with contextlib.suppress(RepositoryNotFound):
        return find_repository(tx, ref)
    authorize(tx, caller, ref.registry, "CreateRepository", ref.arn)
    template = find_template(core, tx, ref, REPLICATION)
    if template is None:
        insert_repository(core, tx, ref, RepositorySettings())
    else:
        make_repository(core, tx, ref, template)
    return find_repository(tx, ref)


def _sender(source: RegistryRef, destination: RegistryRef) -> Caller:
    """Give who replicates: to policies, the source's account."""
    arn = f"arn:aws:iam::{source.id}:root"
    return Caller(arn, "", RegistryRef(source.id, destination.region), is_root=True)


def delete_copy(
    core: Core, ref: RepositoryRef, digest: str, tag: str | None, destination: RegistryRef
) -> None:
    """Take the tag, or an image without one, away at the destination as at the source, if the
    destination still has it so.

    Raises `AccessDenied`, `RepositoryLocked`, `ImageReferencedByManifestList`.
    """
    target = RepositoryRef(destination, ref.name)
    is_still_there = find_source(core, ref, digest) is not None
    with core.database.write() as tx, contextlib.suppress(RepositoryNotFound):
        authorize(tx, _sender(ref.registry, destination), destination, "ReplicateImage", target.arn)
        repository = find_repository(tx, target)
        image = images.find_image(tx, repository.id, digest)
        if image is None:
            return
        if repository.is_locked:
            raise RepositoryLocked(target.name, destination.id)
        if tag is None:
            if not is_still_there and not image.tag_count:
                delete_whole_image(core, tx, repository, image, actor=ACTOR)
            return
        tagged = images.find_tagged_image(tx, repository.id, tag)
        if tagged is None or tagged.id != image.id:
            return
        if is_still_there or image.tag_count > 1:
            remove_tag(core, tx, repository, (image, tag), ACTOR)
        else:
            delete_whole_image(core, tx, repository, image, actor=ACTOR)
