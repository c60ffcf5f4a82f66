"""Images between the storage classes: when one may be archived, and what a restore takes along.

An index that is not archived never lists an archived image, so that what can be pulled can be
pulled whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ecrate.domain.errors import ImageStorageClassUpdateNotSupported
from ecrate.domain.images import Image
from ecrate.store import images as store
from ecrate.store.database import Transaction


def archive_image(tx: Transaction, image: Image, now: float) -> bool:
    """Archive the image; tell whether it was not archived yet.

    Raises `ImageStorageClassUpdateNotSupported` for an image that is being restored or is listed
    by an index that is not archived.
    """
    status = image.storage.status_at(now)
    if status == "ARCHIVED":
        return False
    if status == "ACTIVATING":
        raise ImageStorageClassUpdateNotSupported(image.digest.text, "it is being restored")
    if store.is_listed_by_active(tx, image.id):
        raise ImageStorageClassUpdateNotSupported(
            image.digest.text, "an image index that is not archived lists it"
        )
    archived = replace(image.storage, status="ARCHIVED", archived_at=now)
    store.update_storage(tx, image.id, archived)
    return True


def restore_images(tx: Transaction, images: Iterable[Image], active_at: float) -> None:
    """Make the images active at `active_at`, with all that they list; what is so earlier stays."""
    waiting = [*images]
    while waiting:
        one = waiting.pop()
        storage = one.storage
        if storage.status == "ARCHIVED" or (storage.activated_at or 0.0) > active_at:
            restored = replace(storage, status="ACTIVATING", activated_at=active_at)
            store.update_storage(tx, one.id, restored)
            waiting.extend(store.list_children(tx, one.id))
