"""Indexes that were deleted: their children come back with them, or wait to be listed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ecrate.domain.errors import (
    ReferencedImagesNotFound,
)
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.trash import Origin
from ecrate.operations import trash
from tests.support.core import Bench
from tests.support.images import OCI_INDEX, make_image
from tests.support.pushing import make_index
from tests.support.trash import delete, digests, items, lapse, restore


def index_of(bench: Bench, ref: RepositoryRef, *children: Digest, tags: list[str]) -> Digest:
    """Put an index of what may be indexes themselves."""
    entries = [{"digest": one.text, "mediaType": OCI_INDEX, "size": 1} for one in children]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return bench.put(ref, json.dumps(document), tags)


def test_restore_of_an_index_brings_its_children_first(bench: Bench, one: RepositoryRef) -> None:
    made = make_image(10), make_image(10)
    first, second = (bench.push(one, image) for image in made)
    index = bench.put(one, make_index(*made), ["all"])
    outer = index_of(bench, one, index, first, tags=["outer"])
    delete(bench, one, outer, index, first, second)
    lapse(bench)

    restored = restore(bench, one, outer)

    order = [back.digest for back in restored]
    assert sorted(order, key=str) == sorted([first, second, index, outer], key=str)
    assert order[-2:] == [index, outer]
    assert digests(bench, one) == [first, second, index, outer]
    with pytest.raises(Exception, match="referenced by manifest list"):
        delete(bench, one, first)


def test_restore_of_an_index_leaves_children_that_are_there(
    bench: Bench, one: RepositoryRef
) -> None:
    child = make_image(10)
    bench.push(one, child, "child")
    index = bench.put(one, make_index(child), ["all"])
    delete(bench, one, index)

    restored = restore(bench, one, index)

    assert [back.digest for back in restored] == [index]
    assert bench.images(one) == [ImageId(Digest(child.digest), "child"), ImageId(index, "all")]


def test_restore_of_an_index_whose_child_is_gone_for_good_changes_nothing(
    bench: Bench, one: RepositoryRef
) -> None:
    lost, kept = make_image(10), make_image(10)
    bench.push(one, lost)
    bench.push(one, kept)
    index = bench.put(one, make_index(kept, lost))
    delete(bench, one, index, Digest(kept.digest), Digest(lost.digest))
    trash.empty_trash(bench.core, Origin(), Digest(lost.digest))
    before = items(bench)

    with pytest.raises(ReferencedImagesNotFound, match=lost.digest):
        restore(bench, one, index)

    assert digests(bench, one) == []
    assert items(bench) == before
    assert len(before) == 2


def test_restore_of_many_indexes_of_one_another_is_quick(bench: Bench, one: RepositoryRef) -> None:
    below = [bench.push(one, make_image(10))]
    for _ in range(40):
        below.append(index_of(bench, one, *below[-2:], tags=[]))
    delete(bench, one, *reversed(below))

    restored = restore(bench, one, below[-1])

    assert [back.digest for back in restored] == digests(bench, one) == below


@pytest.fixture
def sparse(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(sparse_manifests=True)


def test_restored_index_may_lack_what_it_lacked(bench: Bench, sparse: Bench) -> None:
    one, missing, there = sparse.create("one"), make_image(10), make_image(10)
    sparse.push(one, there)
    index = sparse.put(one, make_index(missing, there))
    delete(bench, one, index)

    restore(bench, one, index)

    bench.push(one, missing)
    with pytest.raises(Exception, match="referenced by manifest list"):
        delete(bench, one, Digest(missing.digest))


def test_restored_image_is_listed_by_an_index_that_waits_for_it(
    bench: Bench, sparse: Bench
) -> None:
    one, child = sparse.create("one"), make_image(10)
    digest = sparse.push(one, child)
    delete(sparse, one, digest)
    sparse.put(one, make_index(child))

    restore(bench, one, digest)

    with pytest.raises(Exception, match="referenced by manifest list"):
        delete(bench, one, digest)


def test_restored_image_takes_a_layer_that_came_meanwhile(bench: Bench, sparse: Bench) -> None:
    one, image = sparse.create("one"), make_image(10)
    digest = sparse.put(one, image.manifest)
    delete(sparse, one, digest)
    sparse.store(one, image.layers[0].content)

    restore(bench, one, digest)
    lapse(bench)

    assert bench.read(one, image.layers[0].digest) == image.layers[0].content
