"""What goes with an image when it is deleted: the parts and referrers that only it holds."""

from __future__ import annotations

from ecrate.cli.inventory import Image, Inventory


def removed_with(inventory: Inventory, image: Image) -> list[Image]:
    """Give the image and what goes with it, in the order to delete them.

    That are its children which have no tag and stand in no other index, and whatever refers to
    one of all these and has no tag.
    """
    gone = {image.digest: image}
    waiting = [image]
    while waiting:
        for part in _parts_only_in(inventory, waiting.pop(0), gone):
            gone[part.digest] = part
            waiting.append(part)
    return list(gone.values())


def _parts_only_in(inventory: Inventory, image: Image, gone: dict[str, Image]) -> list[Image]:
    held = [each for each in (*image.children, *image.referrers) if not each.tags]
    return [
        each
        for each in held
        if each.digest not in gone
        and all(parent.digest in gone for parent in inventory.parents(each.digest))
    ]


def removed_with_tag(inventory: Inventory, image: Image, tag: str) -> list[Image]:
    """Give what goes when the image loses this tag: nothing while it has another one."""
    if image.tags != [tag] or inventory.parents(image.digest):
        return []
    return removed_with(inventory, image)
