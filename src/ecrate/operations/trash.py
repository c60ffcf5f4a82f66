"""The trash, for operators: what was deleted is listed, restored, or given up early.

A restored image is put again from what the trash kept of it, children first, so it meets the
same rules as one that is pushed. A restored repository is the one that was deleted: the same
identity with all it held, but for the uploads that were open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeVar

from ecrate.domain.errors import TrashNotFound
from ecrate.domain.images import Manifest, parse_manifest
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.domain.trash import Origin, TrashedImage, TrashedRepository
from ecrate.operations.authorization import authorize
from ecrate.operations.core import Core
from ecrate.operations.images import check_tag_count, count_image, find_references
from ecrate.operations.repositories import count_repository
from ecrate.operations.storage_classes import restore_images
from ecrate.store import images, lifecycle, repositories
from ecrate.store import trash as store
from ecrate.store.database import Transaction
from ecrate.store.layers import link_layer

T = TypeVar("T", TrashedImage, TrashedRepository)
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class RestoredImage:
    """An image that is back. `taken_tags` point at other images by now and stay there; with
    `was_there` it had been pushed again, and only its tags came back.
    """

    digest: Digest
    tags: Sequence[str]
    taken_tags: Sequence[str]
    was_there: bool


def list_trashed_repositories(core: Core, origin: Origin) -> Iterator[TrashedRepository]:
    """Give the repositories that can be restored, oldest identity first."""
    return chain.from_iterable(_pages(core, store.list_repositories, origin))


def list_trashed_images(core: Core, origin: Origin) -> Iterator[TrashedImage]:
    """Give the images that can be restored, in the order they came; those of a deleted repository
    can once it is.
    """
    return chain.from_iterable(_pages(core, store.list_images, origin))


def _pages(core: Core, fetch: Callable[..., list[T]], origin: Origin) -> Iterator[list[T]]:
    after = 0
    while True:
        with core.database.read() as tx:
            page = fetch(tx, origin, after=after, limit=_PAGE, now=core.clock())
        yield page
        if len(page) < _PAGE:
            return
        after = page[-1].id


def restore_repository(
    core: Core,
    ref: RepositoryRef,
    *,
    repository_id: int | None = None,
    name: str | None = None,
    caller: Caller | None = None,
) -> Repository:
    """Let a deleted repository be there again, as `name` if given; of several of the name `ref`
    the one with this id, or that was deleted last. For operators, and for a `caller` whose policies
    allow `ecr:RestoreRepository`.

    Its lifecycle policy is next carried out a period from now. Raises `TrashNotFound`,
    `RepositoryAlreadyExists`, `LimitExceeded`.
    """
    place = ref if name is None else RepositoryRef.parse(ref.registry, name)
    with core.database.write() as tx:
        if caller is not None:
            authorize(tx, caller, place.registry, "RestoreRepository", place.arn)
        taken = store.take_repository(tx, ref, repository_id, core.clock())
        if taken is None:
            raise TrashNotFound(ref.name, ref.registry.id)
        restored_id, policy = taken
        store.place_repository(tx, restored_id, place)
        count_repository(core, tx, place.registry)
        if policy is not None:
            lifecycle.put_policy(tx, restored_id, policy, core.clock())
        return repositories.find_repository(tx, place)


def restore_image(core: Core, ref: RepositoryRef, digest: Digest) -> list[RestoredImage]:
    """Let a deleted image be there again, with those of the images it lists that were deleted too;
    give them in the order they came, the image last.

    Raises `RepositoryNotFound`, `TrashNotFound`, `LimitExceeded`, and `ReferencedImagesNotFound`
    where an image that it lists is neither there nor in the trash.
    """
    with core.database.write() as tx:
        repository = repositories.find_repository(tx, ref)
        store.lock_bin(tx, repository.id)
        image = store.find_image(tx, repository.id, digest.text, core.clock())
        if image is None:
            raise TrashNotFound(f"{ref.name}@{digest}", ref.registry.id)
        family = _children_first(core, tx, repository, image)
        store.lock_images(tx, [one.id for one in family])
        return [_restore(core, tx, repository, one) for one in family]


def _children_first(
    core: Core, tx: Transaction, repository: Repository, image: TrashedImage
) -> list[TrashedImage]:
    """Give the image behind all images in the trash that it lists, directly or not."""
    opened: set[str] = set()
    ordered: dict[str, TrashedImage] = {}
    waiting = [image]
    while waiting:
        one = waiting[-1]
        if one.digest.text in opened:
            ordered.setdefault(one.digest.text, waiting.pop())
            continue
        opened.add(one.digest.text)
        for child in _manifest(tx, one).children:
            if images.find_image(tx, repository.id, child.digest.text) is None:
                found = store.find_image(tx, repository.id, child.digest.text, core.clock())
                waiting.extend([] if found is None or child.digest.text in opened else [found])
    return list(ordered.values())


def _manifest(tx: Transaction, image: TrashedImage) -> Manifest:
    content = images.read_manifest(tx, image.id) or b""
    return parse_manifest(content, image.media_type, algorithm=image.digest.algorithm)


def _restore(
    core: Core, tx: Transaction, repository: Repository, trashed: TrashedImage
) -> RestoredImage:
    there = images.find_image(tx, repository.id, trashed.digest.text)
    if there is None:
        _put_back(core, tx, repository, trashed)
        image_id = trashed.id
    else:
        store.delete_image_for_good(tx, trashed.id, trashed.bin_id)
        image_id = there.id
    taken = []
    for tag in trashed.tags:
        at = images.find_tagged_image(tx, repository.id, tag)
        if at is None:
            count = images.put_tag(tx, repository.id, tag, image_id, before=None)
            check_tag_count(core, repository, trashed.digest, count)
        elif at.id != image_id:
            taken.append(tag)
    tags = [tag for tag in trashed.tags if tag not in taken]
    return RestoredImage(trashed.digest, tags, taken, was_there=there is not None)


def _put_back(core: Core, tx: Transaction, repository: Repository, trashed: TrashedImage) -> None:
    now, manifest = core.clock(), _manifest(tx, trashed)
    optional = store.list_missing_references(tx, trashed.id)
    for blob_id in store.list_image_layers(tx, trashed.id):
        link_layer(tx, repository.id, blob_id, now)
    if not store.take_image(tx, trashed, now):
        raise TrashNotFound(f"{repository.ref.name}@{trashed.digest}", repository.ref.registry.id)
    references, children = find_references(tx, repository, manifest, optional)
    if not trashed.is_archived:
        restore_images(tx, children, now)
    count_image(core, tx, repository)
    store.place_image(tx, trashed, references)


def empty_trash(core: Core, origin: Origin, digest: Digest | None = None) -> tuple[int, int]:
    """Give up what is meant, or of it the image with this digest; tell how many repositories and
    images that were. The collector deletes them from then on.
    """
    repository_count = image_count = 0
    if digest is None:
        for deleted in _pages(core, store.list_repositories, origin):
            with core.database.write() as tx:
                repository_count += store.give_up_repositories(tx, [one.id for one in deleted])
    for page in _pages(core, store.list_images, origin):
        meant = [one.id for one in page if digest in (None, one.digest)]
        with core.database.write() as tx:
            image_count += store.give_up_images(tx, meant)
    return repository_count, image_count
