"""All there is compared with all that may be, once nothing is broken any more."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Final

import httpx

from ecrate.operations.checks import inspect
from ecrate.operations.checks.inspection import Inspection
from ecrate.operations.collection import Collected, collect, collect_strays
from ecrate.operations.core import Core
from ecrate.operations.pace import Pace
from tests.support.chaos.doors import Doors
from tests.support.chaos.model import Image, World
from tests.support.chaos.reading import Reader
from tests.support.chaos.site import Site
from tests.support.images import digest_of
from tests.support.steps import Steps

_LONG_AFTER: Final = 10 * 365 * 86_400.0


def reckon(site: Site, world: World) -> int:
    """Check what is there before and after all that may be collected is; give how many images
    there are. Nothing of the world is left behind.
    """
    doors = [node.doors for node in site.nodes]
    _check_tags(world, doors)
    there = [image for image in world.all_images() if _is_there(world, image, doors)]
    for image in there:
        _check_below(world, image, doors)
    with site.core() as core:
        _check_data(world, core)
        _check_collection(site, world, core, there)
        _check_data(world, core)
    for image in there:
        _check_below(world, image, doors[:1])
    for name in world.repositories:
        site.sound.doors.ecr.delete_repository(repositoryName=name, force=True)
        answer = doors[0].http.get(f"/v2/{name}/tags/list")
        world.check(f"{name} is deleted", is_true=answer.status_code == httpx.codes.NOT_FOUND)
    return len(there)


def _check_tags(world: World, doors: Sequence[Doors]) -> None:
    reader = Reader(world)
    for number, name in enumerate(world.repositories):
        at_registry = reader.read_tags(doors[number % len(doors)], name, at_api=False)
        at_api = reader.read_tags(doors[(number + 1) % len(doors)], name, at_api=True)
        if at_registry is None or at_api is None:
            world.check(f"the listing of {name}", is_true=False, told="no answer")
            continue
        world.check(
            f"the listings of {name}",
            is_true=set(at_registry) == set(at_api),
            told=set(at_registry) ^ set(at_api),
        )
        for tag in world.all_tags():
            if tag.repository == name:
                possible = tag.digest.possible(world.now())
                world.check(
                    f"{name}:{tag.name}",
                    is_true=at_api.get(tag.name) in possible,
                    told=f"is {at_api.get(tag.name)}, may be {possible}",
                )


def _is_there(world: World, image: Image, doors: Sequence[Doors]) -> bool:
    """Ask all nodes, at both doors."""
    reader = Reader(world)
    found = {
        reader.read_manifest(one, image.repository, image.digest, at_api=at_api)
        for one in doors
        for at_api in (False, True)
    }
    is_there = found == {image.manifest}
    world.check(
        f"{image.repository}@{image.digest}",
        is_true=(is_there or found == {""}) and is_there in image.exists.possible(world.now()),
        told=f"is {found}, may be there: {image.exists.possible(world.now())}",
    )
    return is_there


def _check_below(world: World, image: Image, doors: Sequence[Doors]) -> None:
    reader = Reader(world)
    for number, digest in enumerate(
        (*image.children, *dict.fromkeys(blob.digest for blob in image.blobs))
    ):
        door = doors[number % len(doors)]
        for at_api in (False, True):
            if image.children:
                manifest = reader.read_manifest(door, image.repository, digest, at_api=at_api)
                found = manifest is not None and digest_of(manifest.encode()) == digest
            else:
                found = bool(reader.read_blob(door, image.repository, digest, at_api=at_api))
            world.check(
                f"{image.repository} has {image.digest}", is_true=found, told=f"but not {digest}"
            )


def _check_data(world: World, core: Core) -> None:
    """Do as `ecrate fsck` does."""
    findings = inspect(Inspection(core, Steps(), pace=Pace()))
    world.check("fsck", is_true=True)
    for one in findings:
        world.check("fsck", is_true=False, told=f"{one.kind}: {one.what}: {one.told}")


def _check_collection(site: Site, world: World, core: Core, there: Sequence[Image]) -> None:
    """Let the collector finish: only what some image needs is left, and all of that."""
    later = dataclasses.replace(core, clock=lambda: time.time() + _LONG_AFTER)
    while collect(later) != Collected():
        pass
    collect_strays(later)
    needed = {blob.digest for image in there for blob in image.blobs}
    with core.database.read() as tx:
        rows: dict[str, str] = dict(tx.all("SELECT digest, key FROM blobs"))
    for what, found, expected in (
        ("blobs", set(rows), needed),
        ("bytes", site.keys(core), set(rows.values())),
    ):
        world.check(
            f"collected {what}",
            is_true=found == expected,
            told=f"{found - expected} left, {expected - found} missing",
        )
