"""Images on their way out: by digest, by tag, whole. Rules: dossier section 3.3."""

from __future__ import annotations

from collections.abc import Sequence

from ecrate.domain.errors import EcrateError, ImageReferencedByManifestList
from ecrate.domain.events import ImageAction
from ecrate.domain.images import Image
from ecrate.domain.names import ImageId, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.domain.repositories import Repository
from ecrate.operations.authorization import open_to_delete
from ecrate.operations.core import Core
from ecrate.operations.events import note_image_action
from ecrate.operations.images import find_existing
from ecrate.store import images as store
from ecrate.store import trash
from ecrate.store.database import Transaction
from ecrate.store.repositories import add_to_image_count


def batch_delete_image(
    core: Core, caller: Caller, ref: RepositoryRef, image_ids: Sequence[ImageId | EcrateError]
) -> list[Sequence[ImageId] | EcrateError]:
    """Delete images in the order given; each answer is what was removed, or why nothing was.

    By tag, the image goes with its last tag. What an index lists stays. An entry that is an
    error already is given back as its own answer.
    """
    with core.database.write() as tx:
        repository = open_to_delete(tx, caller, ref, "BatchDeleteImage")
        return [
            _attempt(core, tx, caller, repository, entry) if isinstance(entry, ImageId) else entry
            for entry in image_ids
        ]


def _attempt(
    core: Core, tx: Transaction, caller: Caller, repository: Repository, image_id: ImageId
) -> Sequence[ImageId] | EcrateError:
    try:
        return _delete(core, tx, caller, repository, image_id)
    except EcrateError as error:
        return error


def _delete(
    core: Core, tx: Transaction, caller: Caller, repository: Repository, image_id: ImageId
) -> Sequence[ImageId]:
    image = find_existing(tx, repository, image_id)
    by_tag = image_id.tag if image_id.digest is None else None
    if by_tag is not None and image.tag_count > 1:
        remove_tag(core, tx, repository, (image, by_tag), caller.arn)
        return [ImageId(image.digest, by_tag)]
    return delete_whole_image(core, tx, repository, image, actor=caller.arn)


def remove_tag(
    core: Core, tx: Transaction, repository: Repository, named: tuple[Image, str], actor: str
) -> None:
    """Take away one of an image's tags, and nothing else."""
    image, tag = named
    store.delete_tag(tx, repository.id, tag, image.id)
    action = ImageAction.of("DELETE", image, tag)
    note_image_action(tx, repository.ref, action, actor=actor, now=core.clock())


def delete_whole_image(
    core: Core, tx: Transaction, repository: Repository, image: Image, *, actor: str
) -> Sequence[ImageId]:
    """Take the image away, into the trash unless that is off; give what names it had.

    Raises `ImageReferencedByManifestList` while an index lists it.
    """
    indexes = store.list_indexes_of(tx, image.id)
    if indexes:
        raise ImageReferencedByManifestList(", ".join(indexes))
    now, kept = core.clock(), core.limits.trash_kept
    tags = store.list_tags_of_image(tx, image.id) if image.tag_count else []
    # First, since it locks the repository's row: only one makes its bin.
    add_to_image_count(tx, repository.id, -1)
    if kept:
        trash.put_image(tx, repository.id, image, now, now + kept)
    else:
        store.delete_image(tx, repository.id, image.id, now)
    gone = [ImageId(image.digest, tag) for tag in tags] or [ImageId(image.digest)]
    for one in gone:
        action = ImageAction.of("DELETE", image, one.tag)
        note_image_action(tx, repository.ref, action, actor=actor, now=now)
    return gone


def delete_tag(core: Core, caller: Caller, ref: RepositoryRef, tag: str) -> None:
    """Remove the tag and nothing else (the registry door's delete by tag)."""
    with core.database.write() as tx:
        repository = open_to_delete(tx, caller, ref, "BatchDeleteImage")
        image = find_existing(tx, repository, ImageId(tag=tag))
        remove_tag(core, tx, repository, (image, tag), caller.arn)
