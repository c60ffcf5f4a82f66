"""What two nodes on one PostgreSQL do to each other, in every order in which their steps can come.

SQLite's writers take turns, so there it is `test_races.py` that tells.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ecrate.domain.names import ImageId
from ecrate.operations import images, layers, registry, tagging, uploads
from ecrate.operations.collection import take_collector_lease
from ecrate.operations.lifecycle import run_lifecycle_policies
from tests.support.core import REGISTRY, Bench
from tests.support.interleaving import (
    BOTH,
    STRIDE,
    Scenario,
    Stage,
    explore,
    if_first,
    one_fails,
)
from tests.support.scenes import (
    CONTENT,
    DIGEST,
    Scene,
    archive,
    begin,
    collecting,
    complete,
    create_template,
    delete,
    delete_all,
    deleting_one,
    empty,
    idle,
    immutable,
    lacks,
    lapsed,
    layered,
    mount,
    moving,
    nearly_full,
    nothing_remains,
    preview,
    previewed,
    pushed,
    put_index,
    ready,
    set_mutability,
    shared,
    tagged,
    templated,
    under_policy,
    uploading,
    uploading_again,
)

pytestmark = pytest.mark.postgres


def expiring(bench: Bench, _: Scene) -> None:
    run_lifecycle_policies(bench.core)


def exclude(bench: Bench, name: str) -> None:
    arn = f"arn:aws:iam::{REGISTRY.id}:user/{name}"
    registry.register_pull_time_update_exclusion(bench.core, bench.caller, REGISTRY, arn)


def tag_resource(bench: Bench, scene: Scene, key: str) -> None:
    tagging.tag_resource(bench.core, bench.caller, scene.one, [(key, "")])


def is_archived_in_an_index(bench: Bench, scene: Scene) -> Iterator[str]:
    (detail,) = images.describe_images(bench.core, bench.caller, scene.one, [scene.image_id])
    if detail.image.storage.status_at(bench.clock.now) != "ACTIVE":
        yield "an index lists an archived image"


COLLECTION = {
    "put": Scenario(
        lapsed,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
        collecting,
        {BOTH, ("LayersNotFound", "ok")},
        if_first(
            lambda bench, scene: lacks(bench, scene.one, *(b.digest for b in scene.image.blobs))
        ),
    ),
    "check": Scenario(
        lapsed,
        lambda bench, scene: bench.has(scene.one, scene.layer),
        collecting,
        {(True, "ok"), (False, "ok")},
        if_first(lambda bench, scene: lacks(bench, scene.one, scene.layer)),
    ),
    "mount": Scenario(
        lapsed,
        mount,
        collecting,
        {(True, "ok"), (False, "ok")},
        if_first(lambda bench, scene: lacks(bench, scene.two, scene.layer)),
    ),
    "complete": Scenario(
        uploading_again,
        lambda bench, scene: complete(bench, scene.two, scene.upload_id),
        collecting,
        {BOTH},
        if_first(lambda bench, scene: lacks(bench, scene.two, DIGEST)),
    ),
    "complete-what-is-idle": Scenario(
        idle,
        lambda bench, scene: complete(bench, scene.one, scene.upload_id),
        collecting,
        {BOTH, ("UploadNotFound", "ok")},
        if_first(lambda bench, scene: lacks(bench, scene.one, DIGEST)),
    ),
}
IMAGES = {
    "delete-and-put-of-its-index": Scenario(
        pushed,
        lambda bench, scene: delete(bench, scene.one, scene.image_id),
        put_index,
        {("ok", "ReferencedImagesNotFound"), ("ImageReferencedByManifestList", "ok")},
    ),
    "puts-of-an-immutable-tag": Scenario(
        immutable,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
        lambda bench, scene: bench.put(scene.one, scene.other.manifest, ["v1"]),
        one_fails("ImageTagAlreadyExists"),
        are_alike=True,
    ),
    "puts-of-a-tag": Scenario(
        ready,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
        lambda bench, scene: bench.put(scene.one, scene.other.manifest, ["v1"]),
        {BOTH},
        are_alike=True,
    ),
    "puts-up-to-the-quota": Scenario(
        nearly_full,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest),
        lambda bench, scene: bench.put(scene.one, scene.other.manifest),
        one_fails("LimitExceeded"),
        are_alike=True,
    ),
}
OTHERS = {
    "collect-and-delete-layer": Scenario(
        lapsed,
        lambda bench, scene: layers.delete_layer(bench.core, bench.caller, scene.one, scene.layer),
        collecting,
        {BOTH, ("LayerNotFound", "ok")},
        nothing_remains,
    ),
    "collect-and-delete-repository": Scenario(
        lapsed, deleting_one, collecting, {BOTH}, nothing_remains
    ),
    "collect-and-delete-repository-with-uploads": Scenario(
        idle, deleting_one, collecting, {BOTH}, nothing_remains
    ),
    "collect-twice": Scenario(
        lapsed, collecting, collecting, {BOTH}, nothing_remains, are_alike=True
    ),
    "delete-twice": Scenario(
        pushed,
        lambda bench, scene: delete(bench, scene.one, scene.image_id),
        lambda bench, scene: delete(bench, scene.one, scene.image_id),
        one_fails("ImageNotFound"),
        are_alike=True,
    ),
    "archive-and-put-of-its-index": Scenario(
        pushed,
        archive,
        put_index,
        {BOTH, ("ImageStorageClassUpdateNotSupported", "ok")},
        lambda bench, scene, _: is_archived_in_an_index(bench, scene),
    ),
    "puts-of-one-image": Scenario(
        layered,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
        one_fails("ImageAlreadyExists"),
        are_alike=True,
    ),
    "put-and-immutability": Scenario(
        moving,
        lambda bench, scene: bench.put(scene.one, scene.other.manifest, ["v1"]),
        lambda bench, scene: set_mutability(bench, scene.one, "IMMUTABLE"),
        {BOTH, ("ImageTagAlreadyExists", "ok")},
    ),
    "tags-up-to-the-quota": Scenario(
        pushed,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v2"]),
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v3"]),
        one_fails("LimitExceeded"),
        are_alike=True,
    ),
    "put-and-delete-of-a-layer": Scenario(
        layered,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest),
        lambda bench, scene: layers.delete_layer(bench.core, bench.caller, scene.one, scene.layer),
        {("ok", "LayerInUse"), ("LayersNotFound", "ok")},
    ),
    "expiry-and-tag": Scenario(
        under_policy,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v3"]),
        expiring,
        {BOTH},
        if_first(lambda bench, scene: lacks(bench, scene.one, scene.layer)),
    ),
    "expiry-and-delete-of-what-is-kept": Scenario(
        under_policy,
        lambda bench, scene: delete(bench, scene.one, ImageId(tag="v2")),
        expiring,
        {BOTH},
    ),
    "complete-twice": Scenario(
        uploading,
        lambda bench, scene: complete(bench, scene.one, scene.upload_id),
        lambda bench, scene: complete(bench, scene.one, scene.upload_id),
        {BOTH, *one_fails("UploadBusy")},
        lambda bench, scene, _: lacks(bench, scene.one, DIGEST),
        are_alike=True,
    ),
    "complete-and-cancel": Scenario(
        uploading,
        lambda bench, scene: complete(bench, scene.one, scene.upload_id),
        lambda bench, scene: uploads.cancel_layer_upload(
            bench.core, bench.caller, scene.one, scene.upload_id
        ),
        one_fails("UploadNotFound"),
        if_first(lambda bench, scene: lacks(bench, scene.one, DIGEST)),
    ),
    "complete-of-the-same-bytes": Scenario(
        uploading,
        lambda bench, scene: complete(bench, scene.one, scene.upload_id),
        lambda bench, scene: bench.store(scene.two, CONTENT),
        {BOTH},
        lambda bench, scene, _: (
            *lacks(bench, scene.one, DIGEST),
            *lacks(bench, scene.two, DIGEST),
        ),
    ),
    "complete-and-delete-repository": Scenario(
        uploading,
        lambda bench, scene: complete(bench, scene.one, scene.upload_id),
        deleting_one,
        {BOTH, ("UploadNotFound", "ok"), ("RepositoryNotFound", "ok")},
        nothing_remains,
    ),
    "begin-and-delete-repository": Scenario(
        empty,
        lambda bench, scene: begin(bench, scene.one),
        deleting_one,
        {BOTH, ("RepositoryNotFound", "ok")},
        nothing_remains,
    ),
    "put-and-delete-repository": Scenario(
        layered,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
        deleting_one,
        {BOTH, ("RepositoryNotFound", "ok")},
        nothing_remains,
    ),
    "mount-and-delete-its-source": Scenario(
        layered,
        mount,
        deleting_one,
        {(True, "ok"), (False, "ok")},
        if_first(lambda bench, scene: lacks(bench, scene.two, scene.layer)),
    ),
    "expiry-and-delete-repository": Scenario(
        under_policy, deleting_one, expiring, {BOTH}, nothing_remains
    ),
    "deletes-of-repositories-that-share": Scenario(
        shared,
        deleting_one,
        lambda bench, scene: delete_all(bench, scene.two),
        {BOTH},
        nothing_remains,
        are_alike=True,
    ),
    "creations-of-one-name": Scenario(
        empty,
        lambda bench, _: bench.create("three"),
        lambda bench, _: bench.create("three"),
        one_fails("RepositoryAlreadyExists"),
        are_alike=True,
    ),
    "creations-up-to-the-quota": Scenario(
        empty,
        lambda bench, _: bench.create("three"),
        lambda bench, _: bench.create("four"),
        one_fails("LimitExceeded"),
        are_alike=True,
    ),
    "creation-on-push": Scenario(
        templated,
        lambda bench, scene: begin(bench, scene.one),
        lambda bench, scene: begin(bench, scene.one),
        {BOTH},
        are_alike=True,
    ),
    "templates-up-to-the-quota": Scenario(
        empty,
        lambda bench, _: create_template(bench, "a"),
        lambda bench, _: create_template(bench, "b"),
        one_fails("LimitExceeded"),
        are_alike=True,
    ),
    "exclusions-up-to-the-quota": Scenario(
        empty,
        lambda bench, _: exclude(bench, "a"),
        lambda bench, _: exclude(bench, "b"),
        one_fails("LimitExceeded"),
        are_alike=True,
    ),
    "resource-tags-up-to-the-quota": Scenario(
        tagged,
        lambda bench, scene: tag_resource(bench, scene, "a"),
        lambda bench, scene: tag_resource(bench, scene, "b"),
        one_fails("TooManyTags"),
        are_alike=True,
    ),
    "previews": Scenario(
        under_policy,
        preview,
        preview,
        {BOTH, *one_fails("LifecyclePolicyPreviewInProgress")},
        are_alike=True,
    ),
    "preview-and-end-of-an-old-one": Scenario(previewed, preview, expiring, {BOTH}),
    "leases": Scenario(
        empty,
        lambda bench, _: take_collector_lease(bench.core, "first"),
        lambda bench, _: take_collector_lease(bench.core, "second"),
        {(True, False), (False, True)},
        are_alike=True,
    ),
}


@pytest.mark.parametrize("name", COLLECTION)
def test_collector_takes_nothing_that_is_needed(stage: Stage, name: str) -> None:
    assert [*explore(stage, COLLECTION[name])] == []


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_as_if_one_deed_came_after_the_other(stage: Stage, name: str) -> None:
    assert [*explore(stage, IMAGES[name])] == []


@pytest.mark.parametrize("name", OTHERS)
def test_all_is_as_if_one_deed_came_after_the_other(stage: Stage, name: str) -> None:
    assert [*explore(stage, OTHERS[name], STRIDE)] == []
