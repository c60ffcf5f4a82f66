"""The trash and the quarantine, in every order in which the steps of two nodes can come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ecrate.domain.names import Digest, ImageId
from ecrate.domain.trash import Origin
from ecrate.operations import garbage, images, repositories, trash
from tests.support.core import Bench
from tests.support.interleaving import BOTH, Outcomes, Scenario, Stage, explore, if_first, one_fails
from tests.support.scenes import (
    CONTENT,
    DIGEST,
    Scene,
    collecting,
    delete,
    deleting_one,
    given_up,
    lacks,
    nothing_remains,
    pushed,
    quarantined,
    shared,
    trashed,
    trashed_whole,
)

pytestmark = pytest.mark.postgres


def restoring(bench: Bench, scene: Scene) -> None:
    trash.restore_image(bench.core, scene.one, scene.digest)


def restoring_whole(bench: Bench, scene: Scene) -> None:
    trash.restore_repository(bench.core, scene.one)


def giving_up(bench: Bench, _: Scene) -> None:
    trash.empty_trash(bench.core, Origin())


def restoring_layer(bench: Bench, scene: Scene) -> None:
    garbage.restore_layer(bench.core, scene.one, Digest(DIGEST))


def deleting_image(bench: Bench, scene: Scene) -> None:
    delete(bench, scene.one, scene.image_id)


def is_whole(bench: Bench, scene: Scene) -> Iterator[str]:
    image = images.find_image(bench.core, bench.caller, scene.one, scene.image_id)
    images.read_manifest(bench.core, image)
    return lacks(bench, scene.one, *(blob.digest for blob in scene.image.blobs))


def is_whole_once_restored(bench: Bench, scene: Scene, _: Outcomes) -> Iterator[str]:
    other = Digest(scene.other.digest)
    trash.restore_image(bench.core, scene.one, other)
    return lacks(bench, scene.one, *(blob.digest for blob in scene.other.blobs))


SCENARIOS = {
    "restore-and-give-up": Scenario(
        trashed, restoring, giving_up, {BOTH, ("TrashNotFound", "ok")}, if_first(is_whole)
    ),
    "restore-and-push": Scenario(
        trashed,
        restoring,
        lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v2"]),
        {BOTH},
        if_first(is_whole),
    ),
    "restore-twice": Scenario(
        trashed, restoring, restoring, one_fails("TrashNotFound"), are_alike=True
    ),
    "restore-and-delete-repository": Scenario(
        trashed, restoring, deleting_one, {BOTH, ("RepositoryNotFound", "ok")}, nothing_remains
    ),
    "delete-and-collect-what-lies-beside-it": Scenario(
        given_up,
        lambda bench, scene: delete(bench, scene.one, ImageId(Digest(scene.other.digest))),
        collecting,
        {BOTH},
        is_whole_once_restored,
    ),
    "delete-and-lock": Scenario(
        pushed,
        deleting_image,
        lambda bench, scene: repositories.lock_repository(bench.core, scene.one, is_locked=True),
        {BOTH, ("RepositoryLocked", "ok")},
    ),
    "deletes-of-the-first-two-images": Scenario(
        shared,
        deleting_image,
        lambda bench, scene: delete(bench, scene.two, scene.image_id),
        {BOTH},
        nothing_remains,
        are_alike=True,
    ),
    "restore-whole-and-create": Scenario(
        trashed_whole,
        restoring_whole,
        lambda bench, scene: bench.create(scene.one.name),
        one_fails("RepositoryAlreadyExists"),
        if_first(is_whole),
    ),
    "restore-whole-and-give-up": Scenario(
        trashed_whole,
        restoring_whole,
        giving_up,
        {BOTH, ("TrashNotFound", "ok")},
        if_first(is_whole),
    ),
    "restore-layer-and-collect": Scenario(
        quarantined,
        restoring_layer,
        collecting,
        {BOTH, ("GarbageNotFound", "ok")},
        if_first(lambda bench, scene: lacks(bench, scene.one, DIGEST)),
    ),
    "restore-layer-and-store": Scenario(
        quarantined,
        restoring_layer,
        lambda bench, scene: bench.store(scene.two, CONTENT),
        {BOTH},
        if_first(lambda bench, scene: lacks(bench, scene.one, DIGEST)),
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_trash_is_as_if_one_deed_came_after_the_other(stage: Stage, name: str) -> None:
    assert [*explore(stage, SCENARIOS[name], 2)] == []
