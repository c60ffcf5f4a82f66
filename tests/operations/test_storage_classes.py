"""What passes with time between the storage classes, and nested indexes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ecrate.domain.errors import ImageInaccessible, ImageStorageClassUpdateNotSupported
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.operations import images
from ecrate.operations.core import Limits
from tests.support.core import START, Bench
from tests.support.images import OCI_INDEX, make_image

MINUTE = 60.0


@pytest.fixture
def slow(make_bench: Callable[..., Bench]) -> Bench:
    """A bench on which a restore takes a minute."""
    return make_bench(limits=Limits(activation=MINUTE))


@pytest.fixture
def place(slow: Bench) -> RepositoryRef:
    return slow.create("place")


def move(bench: Bench, ref: RepositoryRef, digest: Digest, *, is_archive: bool) -> str:
    """Archive or restore an image; give its status."""
    detail = images.update_image_storage_class(
        bench.core, bench.caller, ref, ImageId(digest), is_archive=is_archive
    )
    return detail.image.storage.status_at(bench.clock())


def image_of(bench: Bench, ref: RepositoryRef, digest: Digest) -> Any:
    (detail,) = images.describe_images(bench.core, bench.caller, ref, [ImageId(digest)])
    return detail.image


def listed(bench: Bench, ref: RepositoryRef, storage: str) -> list[Digest | None]:
    page, _ = images.list_images(
        bench.core, bench.caller, ref, status="ANY", storage=storage, after=None, limit=10
    )
    return [one.digest for one in page]


def put_index(bench: Bench, ref: RepositoryRef, *children: tuple[Digest, str]) -> Digest:
    """Put an index of manifests with these digests and media types."""
    entries = [{"digest": one.text, "mediaType": kind, "size": 1} for one, kind in children]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return bench.put(ref, json.dumps(document))


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        pytest.param(0.0, "ACTIVATING", id="at-once"),
        pytest.param(MINUTE - 0.001, "ACTIVATING", id="just-before"),
        pytest.param(MINUTE, "ACTIVE", id="on-time"),
        pytest.param(MINUTE + 1, "ACTIVE", id="later"),
    ],
)
def test_restore_ends_when_its_time_is_over(
    slow: Bench, place: RepositoryRef, seconds: float, status: str
) -> None:
    digest = slow.push(place, make_image(), "v1")
    move(slow, place, digest, is_archive=True)
    move(slow, place, digest, is_archive=False)

    slow.clock.advance(seconds)

    assert image_of(slow, place, digest).storage.status_at(slow.clock()) == status
    assert listed(slow, place, status) == [digest]
    assert listed(slow, place, "ACTIVE") == [digest] * (status == "ACTIVE")


def test_image_can_be_pulled_once_its_restore_has_ended(slow: Bench, place: RepositoryRef) -> None:
    digest = slow.push(place, make_image())
    move(slow, place, digest, is_archive=True)
    move(slow, place, digest, is_archive=False)
    with pytest.raises(ImageInaccessible):
        images.find_image(slow.core, slow.caller, place, ImageId(digest))

    slow.clock.advance(MINUTE)

    found = images.find_image(slow.core, slow.caller, place, ImageId(digest))
    assert found.storage.archived_at == START
    assert found.storage.activated_at == START + MINUTE


def test_image_that_was_restored_can_be_archived_again(slow: Bench, place: RepositoryRef) -> None:
    digest = slow.push(place, make_image())
    move(slow, place, digest, is_archive=True)
    move(slow, place, digest, is_archive=False)
    slow.clock.advance(MINUTE)

    status = move(slow, place, digest, is_archive=True)

    storage = image_of(slow, place, digest).storage
    assert status == "ARCHIVED"
    assert (storage.archived_at, storage.activated_at) == (START + MINUTE, START + MINUTE)


def test_restore_that_is_asked_for_again_does_not_begin_anew(
    slow: Bench, place: RepositoryRef
) -> None:
    digest = slow.push(place, make_image())
    move(slow, place, digest, is_archive=True)
    move(slow, place, digest, is_archive=False)
    slow.clock.advance(MINUTE / 2)

    move(slow, place, digest, is_archive=False)

    assert image_of(slow, place, digest).storage.activated_at == START + MINUTE


def test_restore_does_not_put_off_what_an_index_lists(slow: Bench, place: RepositoryRef) -> None:
    image = make_image()
    child = slow.push(place, image)
    index = put_index(slow, place, (child, json.loads(image.manifest)["mediaType"]))
    move(slow, place, index, is_archive=True)
    move(slow, place, child, is_archive=True)
    move(slow, place, child, is_archive=False)
    slow.clock.advance(MINUTE / 2)

    move(slow, place, index, is_archive=False)

    assert image_of(slow, place, child).storage.activated_at == START + MINUTE
    assert image_of(slow, place, index).storage.activated_at == START + 1.5 * MINUTE


def test_restore_reaches_through_nested_indexes(slow: Bench, place: RepositoryRef) -> None:
    image = make_image()
    leaf = slow.push(place, image)
    middle = put_index(slow, place, (leaf, json.loads(image.manifest)["mediaType"]))
    top = put_index(slow, place, (middle, OCI_INDEX))
    for digest in (top, middle, leaf):
        move(slow, place, digest, is_archive=True)

    move(slow, place, top, is_archive=False)

    assert listed(slow, place, "ACTIVATING") == [leaf, middle, top]


def test_restoring_index_keeps_what_it_lists_from_the_archive(
    slow: Bench, place: RepositoryRef
) -> None:
    image = make_image()
    child = slow.push(place, image)
    index = put_index(slow, place, (child, json.loads(image.manifest)["mediaType"]))
    move(slow, place, index, is_archive=True)
    move(slow, place, index, is_archive=False)

    with pytest.raises(ImageStorageClassUpdateNotSupported, match="index"):
        move(slow, place, child, is_archive=True)
