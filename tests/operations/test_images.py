"""Images: quotas, tags, and what indexes protect."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ecrate.domain.errors import (
    AccessDenied,
    ImageAlreadyExists,
    ImageReferencedByManifestList,
    ImageTagAlreadyExists,
    LayersNotFound,
    LimitExceeded,
    ManifestDamaged,
    MissingDigestAndTag,
    RepositoryNotFound,
)
from ecrate.domain.images import parse_manifest
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.principals import anonymous
from ecrate.domain.repositories import TagMutability
from ecrate.operations import deletions, images
from ecrate.operations.core import Limits
from tests.support.core import HOUR, REGISTRY, Bench
from tests.support.images import MadeImage, make_image
from tests.support.pushing import make_index


def delete(bench: Bench, ref: RepositoryRef, **names: Any) -> Any:
    (answer,) = deletions.batch_delete_image(bench.core, bench.caller, ref, [ImageId(**names)])
    return answer


def annotated(image: MadeImage, number: int) -> str:
    """Give another manifest of the same layers."""
    return json.dumps(json.loads(image.manifest) | {"annotations": {"number": str(number)}})


def test_put_image_stores_nothing_when_a_tag_is_immutable(bench: Bench) -> None:
    ref = bench.create("one", tag_mutability=TagMutability("IMMUTABLE"))
    old, new = make_image(), make_image()
    bench.push(ref, old, "v1")

    with pytest.raises(ImageTagAlreadyExists):
        bench.push(ref, new, "v0", "v1")

    assert bench.images(ref) == [ImageId(Digest(old.digest), "v1")]


def test_put_image_of_another_tag_counts_the_image_once(bench: Bench, one: RepositoryRef) -> None:
    image = make_image()
    bench.push(one, image, "v1")

    bench.put(one, image.manifest, ["v2"])

    (detail,) = images.describe_images(
        bench.core, bench.caller, one, [ImageId(Digest(image.digest))]
    )
    assert (detail.image.tag_count, detail.tags) == (2, ["v1", "v2"])


@pytest.mark.parametrize("tags", [["v1"], ["v1", "v2"], []], ids=["one", "two", "none"])
def test_put_image_with_nothing_to_do_already_exists(
    bench: Bench, one: RepositoryRef, tags: list[str]
) -> None:
    image = make_image()
    bench.push(one, image, "v1", "v2")

    with pytest.raises(ImageAlreadyExists):
        bench.put(one, image.manifest, tags)


def test_put_image_beyond_the_quota_of_images_is_refused(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limits=Limits(images_per_repository=2))
    ref, image = bench.create(), make_image()
    bench.push(ref, image)
    bench.put(ref, annotated(image, 1))

    with pytest.raises(LimitExceeded, match="maximum allowed number of images which is '2'"):
        bench.put(ref, annotated(image, 2))

    assert len(bench.images(ref)) == 2


def test_put_image_after_a_delete_is_within_the_quota_again(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limits=Limits(images_per_repository=1))
    ref, image = bench.create(), make_image()
    digest = bench.push(ref, image)
    delete(bench, ref, digest=digest)

    bench.put(ref, annotated(image, 1))

    assert len(bench.images(ref)) == 1


def test_put_image_beyond_the_quota_of_tags_is_refused(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limits=Limits(tags_per_image=2))
    ref, image = bench.create(), make_image()
    bench.push(ref, image, "v1", "v2")

    with pytest.raises(LimitExceeded, match="maximum allowed number of tags which is '2'"):
        bench.put(ref, image.manifest, ["v3"])

    assert [one.tag for one in bench.images(ref)] == ["v1", "v2"]


def test_put_image_moves_a_tag_of_a_full_image_elsewhere(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(limits=Limits(tags_per_image=1))
    ref, image = bench.create(), make_image()
    bench.push(ref, image, "v1")

    bench.put(ref, annotated(image, 1), ["v1"])
    bench.put(ref, image.manifest, ["v2"])

    assert [one.tag for one in bench.images(ref)] == ["v2", "v1"]


def test_put_image_that_names_a_layer_twice_needs_it_once(bench: Bench, one: RepositoryRef) -> None:
    image = make_image()
    twice = MadeImage(image.config, image.layers * 2)
    digest = bench.push(one, twice)

    delete(bench, one, digest=digest)

    with bench.reading() as tx:
        counts = tx.all("SELECT DISTINCT image_count FROM layers WHERE repository_id = 1")
    assert counts == [(0,)]


def test_put_image_lists_a_missing_layer_once(bench: Bench, one: RepositoryRef) -> None:
    image = make_image()
    twice = MadeImage(image.config, image.layers * 2)
    bench.store(one, image.config.content)

    with pytest.raises(LayersNotFound) as caught:
        bench.put(one, twice.manifest)

    assert caught.value.digests == image.layers[0].digest


def test_put_image_of_an_index_that_names_an_image_twice(bench: Bench, one: RepositoryRef) -> None:
    child = make_image()
    bench.push(one, child)
    index = bench.put(one, make_index(child, child))

    answer = delete(bench, one, digest=index)

    assert answer == [ImageId(index)]
    assert delete(bench, one, digest=Digest(child.digest)) == [ImageId(Digest(child.digest))]


def test_delete_keeps_what_two_indexes_list(bench: Bench, one: RepositoryRef) -> None:
    child = make_image()
    bench.push(one, child)
    first = bench.put(one, make_index(child))
    second = bench.put(one, make_index(child, annotations={"number": "2"}))

    refusal = delete(bench, one, digest=Digest(child.digest))

    assert isinstance(refusal, ImageReferencedByManifestList)
    assert refusal.digests == f"{first}, {second}"


def test_delete_of_one_entry_does_not_undo_the_others(bench: Bench, one: RepositoryRef) -> None:
    child, other = make_image(), make_image()
    bench.push(one, child, "child")
    bench.push(one, other, "other")
    bench.put(one, make_index(child), ["all"])

    answers = deletions.batch_delete_image(
        bench.core,
        bench.caller,
        one,
        [ImageId(tag="child"), MissingDigestAndTag(), ImageId(tag="other")],
    )

    assert [type(answer) for answer in answers] == [
        ImageReferencedByManifestList,
        MissingDigestAndTag,
        list,
    ]
    assert [image.tag for image in bench.images(one)] == ["child", "all"]


@pytest.mark.parametrize(
    ("seconds", "is_due"),
    [
        pytest.param(HOUR, False, id="within-the-hour"),
        pytest.param(HOUR + 1, True, id="after-an-hour"),
    ],
)
def test_pull_is_recorded_once_an_hour(
    bench: Bench, one: RepositoryRef, seconds: float, *, is_due: bool
) -> None:
    image_id = ImageId(bench.push(one, make_image()))
    image = images.find_image(bench.core, bench.caller, one, image_id)
    images.record_pull(bench.core, bench.caller, one, image)
    pulled = images.find_image(bench.core, bench.caller, one, image_id)
    bench.clock.advance(seconds)

    due = images.is_pull_due(bench.core, pulled)

    assert images.is_pull_due(bench.core, image)
    assert due == is_due


def test_read_manifest_answers_from_memory(bench: Bench, one: RepositoryRef) -> None:
    made = make_image()
    image = images.find_image(bench.core, bench.caller, one, ImageId(bench.push(one, made)))
    first = images.read_manifest(bench.core, image)
    with bench.writing() as tx:
        tx.run("DELETE FROM manifests")

    again = images.read_manifest(bench.core, image)

    assert first == again == made.manifest.encode()


def test_nameless_caller_does_not_push(bench: Bench, one: RepositoryRef) -> None:
    manifest = parse_manifest(make_image().manifest.encode())

    with pytest.raises(AccessDenied, match="User: anonymous is not authorized to perform: ecr:Put"):
        images.put_image(bench.core, anonymous(REGISTRY), one, manifest, ["v1"])


def test_caller_of_another_region_does_not_find_the_repository(
    bench: Bench, one: RepositoryRef
) -> None:
    elsewhere = replace(one, registry=replace(REGISTRY, region="eu-west-1"))

    with pytest.raises(RepositoryNotFound):
        bench.images(elsewhere)


def damage_manifests(bench: Bench) -> None:
    with bench.writing() as tx:
        tx.run("UPDATE manifests SET content = ?", b"{}")


def read_manifest(bench: Bench, ref: RepositoryRef, image: MadeImage) -> bytes:
    found = images.find_image(bench.core, bench.caller, ref, ImageId(Digest(image.digest)))
    return images.read_manifest(bench.core, found)


def test_damaged_manifest_is_not_given_out(bench: Bench, one: RepositoryRef) -> None:
    image = make_image()
    bench.push(one, image, "v1")
    damage_manifests(bench)

    with pytest.raises(ManifestDamaged, match=image.digest):
        read_manifest(bench, one, image)


def test_damaged_manifest_is_healed_by_a_push(bench: Bench, one: RepositoryRef) -> None:
    image = make_image()
    bench.push(one, image, "v1")
    damage_manifests(bench)

    bench.put(one, image.manifest, ["v1"])

    assert read_manifest(bench, one, image) == image.manifest.encode()
    assert bench.images(one) == [ImageId(Digest(image.digest), "v1")]
