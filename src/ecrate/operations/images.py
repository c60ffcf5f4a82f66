"""Images: put, get, list, describe, delete. Rules: dossier sections 3.3 and 4."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from ecrate.domain.errors import (
    EcrateError,
    ImageAlreadyExists,
    ImageInaccessible,
    ImageNotFound,
    ImageTagAlreadyExists,
    ImageTagDoesNotMatchDigest,
    InvalidParameter,
    LayersNotFound,
    LimitExceeded,
    ManifestDamaged,
    ReferencedImagesNotFound,
    StorageFull,
    StoreUnavailable,
)
from ecrate.domain.events import ImageAction
from ecrate.domain.images import Image, Manifest
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.domain.scanning import Scan
from ecrate.operations.authorization import Opener, admit, open_repository
from ecrate.operations.core import Core
from ecrate.operations.events import note_image_action
from ecrate.operations.registry import is_pull_recorded
from ecrate.operations.scan_plans import scan_pushed_image
from ecrate.operations.storage_classes import archive_image, restore_images
from ecrate.store import images as store
from ecrate.store.database import Transaction
from ecrate.store.layers import list_blob_ids
from ecrate.store.repositories import add_to_image_count
from ecrate.store.scans import find_scans

_LOG: Final = logging.getLogger("ecrate")
_RECORD_PULLS_EVERY: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list goes on; another repository of the same name is not gone on with."""

    repository_id: int
    image_id: int
    tag: str = ""


@dataclass(frozen=True, slots=True)
class ImageDetail:
    """An image with its tags in lexical order, and its last scan, if there was any."""

    image: Image
    tags: Sequence[str]
    scan: Scan | None = None


def put_image(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    manifest: Manifest,
    tags: Sequence[str],
    *,
    opened_by: Opener = open_repository,
    actor: str = "",
) -> None:
    """Store the manifest and point `tags` at it, all or nothing.

    `actor` is the background work that does so, if one does.

    Raises `LayersNotFound`, `ReferencedImagesNotFound`, `ImageTagAlreadyExists`,
    `LimitExceeded`, and `ImageAlreadyExists` where there was nothing to do.
    """
    with core.database.write() as tx:
        repository = opened_by(tx, caller, ref, "PutImage")
        image = store.find_image(tx, repository.id, manifest.digest.text)
        is_archived = image is not None and image.storage.status_at(core.clock()) != "ACTIVE"
        tagged = {tag: store.find_tagged_image(tx, repository.id, tag) for tag in tags}
        moving = [
            tag for tag, at in tagged.items() if at is None or image is None or at.id != image.id
        ]
        is_healed = image is not None and store.heal_manifest(tx, image.id, manifest.content)
        if image is not None and not moving and not is_archived and not is_healed:
            raise ImageAlreadyExists(
                manifest.digest.text, ", ".join(tags) or "null", ref.name, ref.registry.id
            )
        for tag in moving:
            if tagged[tag] is not None and repository.tag_mutability.is_immutable(tag):
                whole = repository.tag_mutability.mode == "IMMUTABLE"
                raise ImageTagAlreadyExists(tag, ref.name, "repository" if whole else "tag")
        if image is not None and is_archived:
            # AWS: user guide, "Archiving images": pushed again, an image is active again.
            restore_images(tx, [image], core.clock())
        image_id = insert_image(core, tx, repository, manifest) if image is None else image.id
        for tag in moving:
            count = store.put_tag(tx, repository.id, tag, image_id, before=tagged[tag])
            check_tag_count(core, repository, manifest.digest, count)
        # AWS: an event a tag; a push that moves none has one of its own. [A]
        named: Sequence[str | None] = moving or ([None] if image is None else [])
        for one in named:
            action = ImageAction.of("PUSH", manifest, one)
            note_image_action(tx, ref, action, actor=actor or caller.arn, now=core.clock())


def insert_image(
    core: Core,
    tx: Transaction,
    repository: Repository,
    manifest: Manifest,
    *,
    is_sparse: bool = False,
) -> int:
    """Store a manifest that is new to the repository and give its id; of one that `is_sparse`,
    nothing has to be there yet. Raises as `find_references` does, and `LimitExceeded`.
    """
    optional = {layer.digest.text for layer in manifest.layers if layer.is_foreign}
    if core.sparse_manifests or is_sparse:
        optional |= {one.digest.text for one in (*manifest.layers, *manifest.children)}
    references, children = find_references(tx, repository, manifest, optional)
    restore_images(tx, children, core.clock())  # [A]
    count_image(core, tx, repository)
    size = max((child.size for child in children), default=manifest.size)
    now = core.clock()
    image_id = store.insert_image(tx, repository.id, manifest, references, size=size, now=now)
    scan_pushed_image(tx, repository, image_id, manifest, now)
    return image_id


def find_references(
    tx: Transaction, repository: Repository, manifest: Manifest, optional: Collection[str]
) -> tuple[store.ImageReferences, list[Image]]:
    """Give what the manifest needs of its repository, and the images among that.

    Raises `LayersNotFound`, `ReferencedImagesNotFound` when something is not there; digests in
    `optional` may be missing.
    """
    ref = repository.ref
    there = list_blob_ids(tx, repository.id, [one.digest.text for one in manifest.layers])
    listed = store.find_images(tx, repository.id, [one.digest.text for one in manifest.children])
    layers: dict[int, str] = {}
    children: dict[int, Image] = {}
    missing_layers = []
    missing_children = []
    for descriptor in manifest.layers:
        blob_id = there.get(descriptor.digest.text)
        if blob_id is None:
            missing_layers.append((descriptor.digest.text, descriptor.media_type))
        else:
            layers.setdefault(blob_id, descriptor.media_type)
    if missing := [digest for digest, _ in missing_layers if digest not in optional]:
        raise LayersNotFound(_listed(missing), ref.name, ref.registry.id)
    for descriptor in manifest.children:
        child = listed.get(descriptor.digest.text)
        if child is None:
            missing_children.append((descriptor.digest.text, descriptor.media_type))
        else:
            children[child.id] = child
    if missing := [digest for digest, _ in missing_children if digest not in optional]:
        raise ReferencedImagesNotFound(_listed(missing), ref.name, ref.registry.id)
    references = store.ImageReferences(
        layers=list(layers.items()),
        children=list(children),
        missing_layers=missing_layers,
        missing_children=missing_children,
    )
    return references, list(children.values())


def count_image(core: Core, tx: Transaction, repository: Repository) -> None:
    """Count one image more in the repository; raises `LimitExceeded`."""
    limit = core.limits.images_per_repository
    if add_to_image_count(tx, repository.id, 1) > limit:
        ref = repository.ref
        raise LimitExceeded(
            f"The repository with name '{ref.name}' in registry with id '{ref.registry.id}' "
            f"already has the maximum allowed number of images which is '{limit}'"  # [A]
        )


def _listed(digests: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(digests))


def check_tag_count(core: Core, repository: Repository, digest: Digest, count: int) -> None:
    """Raise `LimitExceeded` where the image has more tags than it may."""
    limit = core.limits.tags_per_image
    if count > limit:
        raise LimitExceeded(
            f"The image with digest '{digest}' in the repository with name "
            f"'{repository.ref.name}' already "
            f"has the maximum allowed number of tags which is '{limit}'"  # [A]
        )


def find_image(core: Core, caller: Caller, ref: RepositoryRef, image_id: ImageId) -> Image:
    """Give the row of an image that may be pulled; raises `ImageNotFound`, or
    `ImageTagDoesNotMatchDigest`, or `ImageInaccessible` while it is archived.
    """
    with core.database.look() as tx:
        found, row = store.open_image(tx, ref, image_id)
        repository = admit(tx, caller, ref, "BatchGetImage", found)
    return _active(core, _checked(row, repository, image_id))


def find_images(
    core: Core, caller: Caller, ref: RepositoryRef, image_ids: Sequence[ImageId | EcrateError]
) -> list[Image | EcrateError]:
    """Give for each entry what `find_image` gives or raises; one that is an error already is
    its own answer.
    """

    def attempt(entry: ImageId | EcrateError) -> Image | EcrateError:
        if isinstance(entry, EcrateError):
            return entry
        try:
            return _active(core, find_existing(tx, repository, entry))
        except EcrateError as error:
            return error

    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "BatchGetImage")
        return [attempt(entry) for entry in image_ids]


def _active(core: Core, image: Image) -> Image:
    if image.storage.status_at(core.clock()) != "ACTIVE":
        raise ImageInaccessible
    return image


def get_image(
    core: Core, caller: Caller, ref: RepositoryRef, image_id: ImageId
) -> tuple[Image, bytes]:
    """Give the row of an image that may be pulled, and its manifest; raises as `find_image`."""
    image = find_image(core, caller, ref, image_id)
    return image, read_manifest(core, image)


def read_manifest(core: Core, image: Image) -> bytes:
    """Give the image's manifest byte for byte as it was pushed.

    Raises `ImageNotFound` when the image was deleted since it was found, and `ManifestDamaged`
    rather than give other bytes than were pushed.
    """
    content = core.manifests.get(image.id)
    if content is None:
        with core.database.look() as tx:
            content = store.read_manifest(tx, image.id)
        if content is None:
            raise ImageNotFound(image.digest.text, "null", "", "")
        if not image.digest.fits(content):
            _LOG.error("the manifest of image %s is damaged; see `ecrate fsck`", image.digest)
            raise ManifestDamaged(image.digest.text)
        core.manifests.put(image.id, content)
    return content


def is_pull_due(core: Core, image: Image) -> bool:
    """Tell whether a pull of the image now is worth a write: at most one an hour."""
    return image.last_pulled_at is None or core.clock() - image.last_pulled_at > _RECORD_PULLS_EVERY


def record_pull(core: Core, caller: Caller, ref: RepositoryRef, image: Image) -> None:
    """Note that the image was pulled now, unless the caller's pulls do not count.

    Nothing is noted where that cannot be done now: a pull needs no room.
    """
    with contextlib.suppress(StorageFull, StoreUnavailable):
        with core.database.look() as tx:
            if not is_pull_recorded(core, tx, caller, ref.registry):
                return
        with core.database.write() as tx:
            store.record_pull(tx, image.id, core.clock())


def describe_images(
    core: Core, caller: Caller, ref: RepositoryRef, image_ids: Sequence[ImageId]
) -> list[ImageDetail]:
    """Describe the named images, each once; raises `ImageNotFound` for the first missing."""
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "DescribeImages")
        found = {}
        for image_id in image_ids:
            image = find_existing(tx, repository, image_id)
            found[image.id] = image
        return _details(tx, [*found.values()])


def list_image_details(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    *,
    status: str,
    storage: str,
    after: Position | None,
    limit: int,
) -> tuple[list[ImageDetail], Position | None]:
    """Give a page of images in the order they came, and where the next one goes on.

    `status` is TAGGED, UNTAGGED or ANY; `storage` ACTIVE, ARCHIVED, ACTIVATING or ANY.
    """
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "DescribeImages")
        start = start_of(repository, after).image_id
        images = store.list_images(
            tx, repository.id, status, start, limit + 1, storage=storage, now=core.clock()
        )
        page = _details(tx, images[:limit])
    if len(images) <= limit:
        return page, None
    return page, Position(repository.id, page[-1].image.id)


def list_images(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    *,
    status: str,
    storage: str,
    after: Position | None,
    limit: int,
) -> tuple[list[ImageId], Position | None]:
    """Give a page of image ids, one a tag, and where the next one goes on."""
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "ListImages")
        start = start_of(repository, after)
        rows = store.list_image_ids(
            tx,
            repository.id,
            status,
            (start.image_id, start.tag),
            limit + 1,
            storage=storage,
            now=core.clock(),
        )
    page = [ImageId(Digest(digest), tag) for _, digest, tag in rows[:limit]]
    if len(rows) <= limit:
        return page, None
    last_id, _, last_tag = rows[limit - 1]
    return page, Position(repository.id, last_id, last_tag or "")


def start_of(repository: Repository, after: Position | None) -> Position:
    """Give where a list begins; raises `InvalidParameter` for another repository's position."""
    if after is None:
        return Position(repository.id, 0)
    if after.repository_id != repository.id:
        raise InvalidParameter("nextToken", "Invalid token")  # [A]
    return after


def list_tags(
    core: Core, caller: Caller, ref: RepositoryRef, *, after: str, limit: int
) -> tuple[list[str], bool]:
    """Give a page of the tags of active images in lexical order, and whether there are more."""
    with core.database.read() as tx:
        repository = open_repository(tx, caller, ref, "ListImages")
        tags = store.list_tags(tx, repository.id, after, limit + 1, now=core.clock())
    return tags[:limit], len(tags) > limit


def update_image_storage_class(
    core: Core, caller: Caller, ref: RepositoryRef, image_id: ImageId, *, is_archive: bool
) -> ImageDetail:
    """Archive the image, or begin its restore; give it as it is then.

    What is already so is left alone. Raises `ImageNotFound`,
    `ImageStorageClassUpdateNotSupported`.
    """
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "UpdateImageStorageClass")
        image, now = find_existing(tx, repository, image_id), core.clock()
        if is_archive:
            archive_image(tx, image, now)
        elif image.storage.status == "ARCHIVED":
            restore_images(tx, [image], now + core.limits.activation)
        updated = find_existing(tx, repository, ImageId(image.digest))
        if updated.storage != image.storage:
            note_storage_class(tx, ref, updated, actor=caller.arn, now=now)
        return _details(tx, [updated])[0]


def note_storage_class(
    tx: Transaction, ref: RepositoryRef, image: Image, *, actor: str, now: float
) -> None:
    """Note that the image has just changed its storage class."""
    is_archived = image.storage.status == "ARCHIVED"
    action = ImageAction.of(
        "UPDATE_STORAGE_CLASS",
        image,
        storage_class="ARCHIVE" if is_archived else "STANDARD",
        activated_at=None if is_archived else image.storage.activated_at,
    )
    note_image_action(tx, ref, action, actor=actor, now=now)


def find_existing(tx: Transaction, repository: Repository, image_id: ImageId) -> Image:
    """Give the image; raises `ImageNotFound`, `ImageTagDoesNotMatchDigest`."""
    image = None
    if image_id.tag is not None:
        image = store.find_tagged_image(tx, repository.id, image_id.tag)
    elif image_id.digest is not None:
        image = store.find_image(tx, repository.id, image_id.digest.text)
    return _checked(image, repository, image_id)


def _checked(image: Image | None, repository: Repository, image_id: ImageId) -> Image:
    if image is None:
        raise ImageNotFound(
            "null" if image_id.digest is None else image_id.digest.text,
            image_id.tag or "null",
            repository.ref.name,
            repository.ref.registry.id,
        )
    if image_id.digest is not None and image.digest != image_id.digest:
        raise ImageTagDoesNotMatchDigest
    return image


def _details(tx: Transaction, images: Sequence[Image]) -> list[ImageDetail]:
    scans = find_scans(tx, [image.id for image in images])
    return [
        ImageDetail(
            image,
            store.list_tags_of_image(tx, image.id) if image.tag_count else (),
            scans.get(image.id),
        )
        for image in images
    ]
