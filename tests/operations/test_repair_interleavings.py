"""Repairs beside a server, in every order in which the steps of two nodes can come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ecrate.domain.names import ImageId
from ecrate.domain.trash import Origin
from ecrate.operations import trash
from ecrate.operations.claims import ClaimedRow
from tests.support.checking import break_rows, check, file_of, pull, whole
from tests.support.core import HOUR, Bench
from tests.support.interleaving import (
    BOTH,
    STRIDE,
    Outcomes,
    Scenario,
    Stage,
    explore,
    one_fails,
)
from tests.support.scenes import (
    DIGEST,
    Scene,
    collecting,
    complete,
    delete,
    lacks,
    shared,
    uploading,
    uploading_again,
)

pytestmark = pytest.mark.postgres


def without_bytes(bench: Bench) -> Scene:
    """As `uploading_again`, and the bytes that there were are gone."""
    scene = uploading_again(bench)
    file_of(bench, DIGEST).unlink()
    return scene


def known_lost(bench: Bench) -> Scene:
    """As `without_bytes`, and that is noted."""
    scene = without_bytes(bench)
    check(bench, repairs=True)
    return scene


def back_again(bench: Bench) -> Scene:
    """The bytes of a layer were noted to be corrupt, are well again, and may be deleted by now."""
    scene = shared(bench)
    layer = scene.image.layers[0]
    file = file_of(bench, layer.digest)
    file.write_bytes(bytes(len(layer.content)))
    check(bench, repairs=True)
    file.write_bytes(layer.content)
    bench.clock.advance(HOUR)
    return scene


def without_row(bench: Bench) -> Scene:
    """An image's layer is gone, its row and its bytes, and is sent again."""
    scene = shared(bench)
    layer = scene.image.layers[0]
    upload_id = bench.begin(scene.two, layer.content)
    file_of(bench, layer.digest).unlink()
    break_rows(bench, f"DELETE FROM blobs WHERE digest = '{layer.digest}'")  # noqa: S608 - a digest
    return replace(scene, upload_id=upload_id)


def damaged_and_given_up(bench: Bench) -> Scene:
    """The manifest of an image in the trash is gone; another repository has it."""
    scene = shared(bench)
    delete(bench, scene.one, ImageId(scene.digest))
    with bench.writing() as tx:
        tx.run("DELETE FROM manifests WHERE image_id IN (SELECT image_id FROM trash_images)")
    return scene


def forgotten(bench: Bench) -> Scene:
    """A layer has no link, and the collector does not know of it."""
    scene = uploading(bench)
    complete(bench, scene.one, scene.upload_id)
    break_rows(bench, "DELETE FROM layers")
    return scene


def repairing(bench: Bench, _: Scene) -> None:
    check(bench, repairs=True)


def repairing_and_collecting(bench: Bench, scene: Scene) -> None:
    repairing(bench, scene)
    collecting(bench, scene)


def giving_up(bench: Bench, scene: Scene) -> None:
    trash.empty_trash(bench.core, Origin())
    collecting(bench, scene)


def completing(bench: Bench, scene: Scene) -> None:
    complete(bench, scene.two, scene.upload_id)


def sending_layer(bench: Bench, scene: Scene) -> None:
    bench.complete(scene.two, scene.upload_id, scene.layer)


def claiming(bench: Bench, scene: Scene) -> None:
    ClaimedRow(bench.core, scene.upload_id).claim(lambda state: state + b"x", 0)


def has_what_was_sent(bench: Bench, scene: Scene, _: Outcomes) -> Iterator[str]:
    yield from lacks(bench, scene.two, DIGEST)
    yield from is_well(bench, scene, BOTH)


def is_pulled(bench: Bench, scene: Scene, _: Outcomes) -> Iterator[str]:
    repairing(bench, scene)
    for ref in (scene.one, scene.two):
        if pull(bench, ref, scene.image) != whole(scene.image):
            yield f"the image in {ref.name} is another one"


def is_well(bench: Bench, _: Scene, __: Outcomes) -> Iterator[str]:
    yield from (f"{one.kind} {one.what}" for one in check(bench))


def is_well_or_lost(bench: Bench, scene: Scene, outcomes: Outcomes) -> Iterator[str]:
    collecting(bench, scene)
    for told in is_well(bench, scene, outcomes):
        if not told.startswith("lost-blob"):
            yield told


SCENARIOS = {
    "repair-and-complete": Scenario(
        without_bytes, repairing, completing, {BOTH}, has_what_was_sent
    ),
    "repair-and-complete-what-is-lost": Scenario(
        known_lost, repairing, completing, {BOTH}, has_what_was_sent
    ),
    "take-back-and-collect": Scenario(back_again, repairing, collecting, {BOTH}, is_well_or_lost),
    "derive-and-complete": Scenario(without_row, repairing, sending_layer, {BOTH}, is_pulled),
    "heal-and-give-up": Scenario(damaged_and_given_up, repairing, giving_up, {BOTH}, is_well),
    "remember-and-collect": Scenario(
        forgotten, repairing, repairing_and_collecting, {BOTH}, is_well
    ),
    "repair-twice": Scenario(
        without_row, repairing, repairing, {BOTH}, is_well_or_lost, are_alike=True
    ),
    "claims-of-an-upload": Scenario(
        uploading, claiming, claiming, one_fails("BusyError"), are_alike=True
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_repair_is_as_if_nobody_came_between(stage: Stage, name: str) -> None:
    assert [*explore(stage, SCENARIOS[name], STRIDE)] == []
