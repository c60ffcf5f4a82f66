"""Images: manifests against their digests, and what they name against rows."""

from __future__ import annotations

from collections.abc import Iterator

from ecrate.domain.damage import Finding
from ecrate.domain.errors import InvalidParameter
from ecrate.domain.images import Descriptor, Manifest, parse_manifest
from ecrate.operations.checks.inspection import PAGE, Inspection
from ecrate.operations.core import Core
from ecrate.store import checks as store
from ecrate.store import images, layers
from ecrate.store.checks import ImageRow
from ecrate.store.database import Transaction
from ecrate.store.repositories import lock_repositories


def check_images(inspection: Inspection) -> Iterator[Finding]:
    """Look at each image's manifest, and whether its rows say what that says."""
    with inspection.core.database.read() as tx:
        inspection.watcher.begin("images", store.count_rows(tx, "images"), "images")
    after = 0
    while True:
        with inspection.core.database.read() as tx:
            page = store.list_images(tx, after, PAGE)
        if not page:
            return
        for image in page:
            if not _is_sound(image):
                yield from _damaged(inspection, image.id)
            elif _differences(image):
                yield from _disagreeing(inspection, image.id)
        inspection.advance("images", len(page))
        after = page[-1].id


def _is_sound(image: ImageRow) -> bool:
    return image.content is not None and image.digest.fits(image.content)


def _damaged(inspection: Inspection, image_id: int) -> Iterator[Finding]:
    """Tell of a damaged manifest. A repair takes it from another repository that has it."""
    with inspection.core.database.read() as tx:
        image = store.find_image(tx, image_id)
        place = store.find_place(tx, image_id)
        if image is None or place is None or _is_sound(image):
            return
        copies = store.list_copies(tx, image) if inspection.repairs else []
    sound = next((content for content in copies if image.digest.fits(content)), None)
    is_mended = sound is not None and _heal(inspection.core, image, sound)
    told = "its manifest is gone" if image.content is None else "its manifest is damaged"
    yield Finding(
        "damaged-manifest",
        f"{place.ref.name}@{image.digest}",
        f"{told}; push the image again",
        done="taken from another repository" if is_mended else "",
        is_mended=is_mended,
        images=[place],
        image_count=1,
    )
    if is_mended:
        yield from _disagreeing(inspection, image_id)


def _heal(core: Core, image: ImageRow, content: bytes) -> bool:
    """Put the manifest in its place; tell whether the image was still where it was."""
    with core.database.write() as tx:
        lock_repositories(tx, [image.repository_id])
        current = store.find_image(tx, image.id)
        if current is None or current.repository_id != image.repository_id:
            return False
        images.heal_manifest(tx, image.id, content)
        return True


def _disagreeing(inspection: Inspection, image_id: int) -> Iterator[Finding]:
    """Tell where rows say something else than the manifest. A repair derives them from it."""
    with inspection.core.database.read() as tx:
        image = store.find_image(tx, image_id)
        place = store.find_place(tx, image_id)
    told = [] if image is None else _differences(image)
    if image is None or place is None or not told:
        return
    if inspection.repairs:
        with inspection.core.database.write() as tx:
            _derive(inspection.core, tx, image)
    yield Finding(
        "wrong-references",
        f"{place.ref.name}@{image.digest}",
        "; ".join(told),
        done="its rows are derived from its manifest" if inspection.repairs else "",
        is_mended=inspection.repairs,
        images=[place],
        image_count=1,
    )


def _differences(image: ImageRow) -> list[str]:
    """Say what the rows of an image lack, or have too much."""
    manifest = _parsed(image)
    if manifest is None:
        return []
    wanted = {layer.digest.text for layer in manifest.layers}
    actual = set(image.layers)
    if not image.is_trashed:
        wanted |= {child.digest.text for child in manifest.children}
        actual |= image.children
    lacking = wanted - actual - image.missing
    subject = None if manifest.subject is None else manifest.subject.text
    told = []
    if lacking:
        told.append(f"no row for {', '.join(sorted(lacking))}")
    if extra := (actual | image.missing) - _named(manifest):
        told.append(f"rows for {', '.join(sorted(extra))}, which it does not name")
    if image.subject != subject:
        told.append(f"its subject is {subject}, not {image.subject}")
    if image.manifest_size != len(manifest.content):
        told.append(f"its manifest has {len(manifest.content)} bytes, not {image.manifest_size}")
    return told


def _named(manifest: Manifest) -> set[str]:
    return {one.digest.text for one in (*manifest.layers, *manifest.children)}


def _parsed(image: ImageRow) -> Manifest | None:
    """Give the manifest; None for one that would not be taken today, which is no damage."""
    try:
        return parse_manifest(
            image.content or b"", image.media_type, algorithm=image.digest.algorithm
        )
    except InvalidParameter:
        return None


def _derive(core: Core, tx: Transaction, before: ImageRow) -> None:
    """Write what follows from the manifest anew."""
    lock_repositories(tx, [before.repository_id])
    image = store.find_image(tx, before.id)
    manifest = None if image is None else _parsed(image)
    if image is None or manifest is None:
        return
    store.forget_references(tx, image, core.clock())
    references = _references(core, tx, image, manifest)
    images.insert_references(tx, image.repository_id, image.id, image.digest, references)
    subject = None if manifest.subject is None else manifest.subject.text
    store.update_derived(tx, image.id, subject, len(manifest.content))


def _find_or_lose(core: Core, tx: Transaction, layer: Descriptor) -> int:
    """Give the layer's blob, locked; one that nobody has is lost from now on."""
    while True:
        blob = layers.find_blob(tx, layer.digest.text)
        if blob is not None:
            return blob[0]
        # Somebody else may be storing it this moment.
        blob_id = store.insert_lost_blob(tx, layer.digest, core.new_id(), layer.size, core.clock())
        if blob_id is not None:
            return blob_id


def _references(
    core: Core, tx: Transaction, image: ImageRow, manifest: Manifest
) -> images.ImageReferences:
    """Find what the image needs. It was there when the image was put, so a layer that another
    repository has is taken from there, and one that nobody has is lost.
    """
    now = core.clock()
    store.lock_blobs_of(tx, [layer.digest.text for layer in manifest.layers])
    needed: dict[int, str] = {}
    missing_layers = []
    for layer in manifest.layers:
        digest = layer.digest
        is_elsewhere = layer.is_foreign and digest.text not in image.layers
        if is_elsewhere or digest.text in image.missing:
            missing_layers.append((digest.text, layer.media_type))
            continue
        blob_id = _find_or_lose(core, tx, layer)
        layers.link_layer(tx, image.repository_id, blob_id, now)
        needed.setdefault(blob_id, layer.media_type)
    children: dict[int, None] = {}
    missing_children = []
    for child in () if image.is_trashed else manifest.children:
        found = images.find_image(tx, image.repository_id, child.digest.text)
        if found is None:
            missing_children.append((child.digest.text, child.media_type))
        else:
            children[found.id] = None
    return images.ImageReferences(
        layers=list(needed.items()),
        children=list(children),
        missing_layers=missing_layers,
        missing_children=missing_children,
    )
