"""What two nodes may do at once, and what they do it to: for the tests of interleavings."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ecrate.domain.errors import EcrateError
from ecrate.domain.lifecycle_grammar import parse_lifecycle_policy
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.repositories import TagMutability
from ecrate.domain.tagging import MAX_RESOURCE_TAGS
from ecrate.domain.templates import CREATE_ON_PUSH, Template
from ecrate.domain.trash import Origin
from ecrate.operations import (
    deletions,
    images,
    layers,
    lifecycle,
    repositories,
    tagging,
    templates,
    uploads,
)
from ecrate.operations.collection import collect
from ecrate.operations.templates import open_or_create_repository
from ecrate.operations.trash import empty_trash
from tests.support.core import DAY, HOUR, REGISTRY, Bench
from tests.support.images import OCI_CONFIG, Blob, MadeImage, digest_of, make_image
from tests.support.lifecycle import policy, rule
from tests.support.pushing import make_index

CONTENT = b"the layer"
DIGEST = digest_of(CONTENT)
LONG = DAY + 1  # until what no image needs lapses, and an upload is idle
FOR_GOOD = 8 * DAY  # until the trash lets go


@dataclass(frozen=True)
class Scene:
    """Two repositories, two images, and perhaps an upload of `CONTENT`."""

    one: RepositoryRef
    two: RepositoryRef
    image: MadeImage = field(default_factory=lambda: make_image(10))
    other: MadeImage = field(default_factory=lambda: make_image(20))
    upload_id: str = ""

    @property
    def layer(self) -> str:
        return self.image.layers[0].digest

    @property
    def digest(self) -> Digest:
        return Digest(self.image.digest)

    @property
    def image_id(self) -> ImageId:
        return ImageId(self.digest)


def empty(bench: Bench) -> Scene:
    """The repositories are empty."""
    return Scene(bench.create("one"), bench.create("two"))


def layered(bench: Bench) -> Scene:
    """`one` has the layers of the first image."""
    scene = empty(bench)
    for blob in scene.image.blobs:
        bench.store(scene.one, blob.content)
    return scene


def ready(bench: Bench) -> Scene:
    """`one` has the layers of both images."""
    scene = layered(bench)
    for blob in scene.other.blobs:
        bench.store(scene.one, blob.content)
    return scene


def lapsed(bench: Bench) -> Scene:
    """As `layered`, a long time later."""
    scene = layered(bench)
    bench.clock.advance(LONG)
    return scene


def pushed(bench: Bench) -> Scene:
    """As `layered`, with one of the images as `v1`."""
    scene = layered(bench)
    bench.put(scene.one, scene.image.manifest, ["v1"])
    return scene


def shared(bench: Bench) -> Scene:
    """Both repositories have one of the images."""
    scene = empty(bench)
    for ref in (scene.one, scene.two):
        bench.push(ref, scene.image, "v1")
    return scene


def trashed(bench: Bench) -> Scene:
    """As `pushed`, and the image was deleted."""
    scene = pushed(bench)
    delete(bench, scene.one, scene.image_id)
    return scene


def trashed_whole(bench: Bench) -> Scene:
    """As `pushed`, and the repository was deleted."""
    scene = pushed(bench)
    delete_all(bench, scene.one)
    return scene


def given_up(bench: Bench) -> Scene:
    """As `trashed`, and it is not to come back; another image has the same layers."""
    scene = pushed(bench)
    other = MadeImage(Blob(b"{}", OCI_CONFIG), scene.image.layers)
    bench.push(scene.one, other)
    delete(bench, scene.one, scene.image_id)
    empty_trash(bench.core, Origin())
    return replace(scene, other=other)


def quarantined(bench: Bench) -> Scene:
    """The bytes of a layer are in quarantine, and may be deleted by now."""
    scene = empty(bench)
    bench.store(scene.one, CONTENT)
    bench.clock.advance(LONG)
    collect(bench.core)
    bench.clock.advance(HOUR)
    return scene


def uploading(bench: Bench) -> Scene:
    """An upload to `one` is to be completed."""
    scene = empty(bench)
    return replace(scene, upload_id=bench.begin(scene.one, CONTENT))


def idle(bench: Bench) -> Scene:
    """As `uploading`, a long time later."""
    scene = uploading(bench)
    bench.clock.advance(LONG)
    return scene


def uploading_again(bench: Bench) -> Scene:
    """`two` is about to get a layer that `one` had for a long time."""
    scene = empty(bench)
    bench.store(scene.one, CONTENT)
    bench.clock.advance(LONG)
    return replace(scene, upload_id=bench.begin(scene.two, CONTENT))


def immutable(bench: Bench) -> Scene:
    """As `ready`; the tags of `one` do not move."""
    scene = ready(bench)
    set_mutability(bench, scene.one, "IMMUTABLE")
    return scene


def moving(bench: Bench) -> Scene:
    """As `ready`, with the first image as `v1`."""
    scene = ready(bench)
    bench.put(scene.one, scene.image.manifest, ["v1"])
    return scene


def tagged(bench: Bench) -> Scene:
    """`one` has one resource tag less than it may have."""
    scene = empty(bench)
    tags = [(str(number), "") for number in range(MAX_RESOURCE_TAGS - 1)]
    tagging.tag_resource(bench.core, bench.caller, scene.one, tags)
    return scene


def nearly_full(bench: Bench) -> Scene:
    """As `ready`; with a limit of two images there is room for one."""
    scene = ready(bench)
    bench.push(scene.one, make_image(30))
    return scene


def templated(bench: Bench) -> Scene:
    """Repositories are made for who pushes."""
    create_template(bench, "ROOT")
    return Scene(bench.ref("one"), bench.ref("two"))


def under_policy(bench: Bench) -> Scene:
    """Both images are there, and a lifecycle policy that keeps the younger one is due."""
    scene = pushed(bench)
    bench.clock.advance(1)
    bench.push(scene.one, scene.other, "v2")
    given = parse_lifecycle_policy(policy(rule(1)))
    lifecycle.put_lifecycle_policy(bench.core, bench.caller, scene.one, given)
    bench.clock.advance(HOUR)
    return scene


def previewed(bench: Bench) -> Scene:
    """As `under_policy`, with a preview whose results are to go."""
    scene = under_policy(bench)
    preview(bench, scene)
    bench.clock.advance(LONG)
    return scene


def preview(bench: Bench, scene: Scene) -> None:
    lifecycle.start_lifecycle_policy_preview(bench.core, bench.caller, scene.one, None)


def create_template(bench: Bench, prefix: str) -> None:
    made = Template(prefix, (CREATE_ON_PUSH,), 0.0, 0.0)
    templates.create_repository_creation_template(bench.core, bench.caller, REGISTRY, made)


def set_mutability(bench: Bench, ref: RepositoryRef, mode: str) -> None:
    repositories.put_image_tag_mutability(bench.core, bench.caller, ref, TagMutability(mode))


def put_index(bench: Bench, scene: Scene) -> None:
    bench.put(scene.one, make_index(scene.image), ["all"])


def delete(bench: Bench, ref: RepositoryRef, image_id: ImageId) -> None:
    (answer,) = deletions.batch_delete_image(bench.core, bench.caller, ref, [image_id])
    if isinstance(answer, EcrateError):
        raise answer


def archive(bench: Bench, scene: Scene) -> None:
    images.update_image_storage_class(
        bench.core, bench.caller, scene.one, scene.image_id, is_archive=True
    )


def delete_all(bench: Bench, ref: RepositoryRef) -> None:
    repositories.delete_repository(bench.core, bench.caller, ref, force=True)


def mount(bench: Bench, scene: Scene) -> bool:
    return layers.mount_layer(bench.core, bench.caller, scene.two, scene.layer, scene.one.name)


def begin(bench: Bench, ref: RepositoryRef) -> None:
    """Begin an upload as the registry door does."""
    opened_by = functools.partial(open_or_create_repository, bench.core)
    uploads.initiate_layer_upload(bench.core, bench.caller, ref, opened_by=opened_by)


def complete(bench: Bench, ref: RepositoryRef, upload_id: str) -> None:
    bench.complete(ref, upload_id, DIGEST)


def lacks(bench: Bench, ref: RepositoryRef, *digests: str) -> Iterator[str]:
    """Tell of layers that cannot be read, now or once what is in quarantine is deleted."""
    for _ in range(2):
        for digest in digests:
            try:
                if digest_of(bench.read(ref, digest)) != digest:
                    yield f"layer {digest} is another one"
            except (EcrateError, OSError) as error:
                yield f"layer {digest} cannot be read: {error}"
        bench.clock.advance(HOUR)
        collect(bench.core)


def remains(bench: Bench) -> Iterator[str]:
    """Tell of bytes that are there once the collector had time for everything."""
    for _ in range(3):
        bench.clock.advance(FOR_GOOD)
        collect(bench.core)
    yield from (f"{key} remains" for key in bench.files())


def nothing_remains(bench: Bench, _: Scene, __: object) -> Iterator[str]:
    return remains(bench)


def collecting(bench: Bench, _: Scene) -> None:
    collect(bench.core)


def deleting_one(bench: Bench, scene: Scene) -> None:
    delete_all(bench, scene.one)
