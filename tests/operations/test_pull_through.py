"""Fetches among processes, and the background work of pull through caches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ecrate.domain.errors import EcrateError, LayerNotFound
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.domain.pull_through import Rule
from ecrate.domain.upstream_errors import UpstreamContentRefused, UpstreamUnavailable
from ecrate.operations import repositories
from ecrate.operations.pull_through.fetches import Fetch, Waited, Waiting
from ecrate.operations.pull_through.images import find_image
from ecrate.operations.pull_through.imports import run_imports
from ecrate.operations.pull_through.layers import fetch_layer
from ecrate.operations.pull_through.rules import create_pull_through_cache_rule
from ecrate.store.leases import take_lease
from tests.support.core import CALLER, REGISTRY, START, Bench
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, make_image
from tests.support.postgres import ENGINES
from tests.support.registry import index_of, wait_until
from tests.support.upstream import (
    Gate,
    Upstream,
    make_pull_through,
    refusing,
    running_upstream,
    sending,
)

NAME = "team/app"


@pytest.fixture(scope="module")
def registry() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@pytest.fixture
def upstream(registry: Upstream) -> Upstream:
    """An upstream that has nothing yet."""
    for kept in (registry.documents, registry.blobs, registry.faults, registry.asked):
        kept.clear()
    return registry


@pytest.fixture
def make_cache(
    make_bench: Callable[..., Bench], tmp_path: Path, upstream: Upstream
) -> Iterator[Callable[..., Bench]]:
    """Make cores with one rule, each as another process would have it."""
    with ExitStack() as opened:
        benches: list[Bench] = []

        def make(**options: Any) -> Bench:
            seam = make_pull_through(tmp_path, seconds=2.0, claim=20.0, **options)
            opened.callback(seam.stop)
            benches.append(make_bench(pull_through=seam))
            if len(benches) == 1:
                rule = Rule("up", upstream.url, None, "ROOT", None, None, START, START)
                create_pull_through_cache_rule(benches[0].core, CALLER, REGISTRY, rule)
            return benches[-1]

        yield make


@pytest.fixture
def cache(make_cache: Callable[..., Bench]) -> Bench:
    return make_cache()


def pull(bench: Bench, reference: str) -> Any:
    """Pull an image as a front does; give its row."""
    by_digest = ":" in reference
    image_id = ImageId(Digest(reference)) if by_digest else ImageId(tag=reference)
    waited: Waited = {}
    while True:
        try:
            return find_image(bench.core, CALLER, ref(bench), image_id, waited)
        except Waiting as waiting:
            for fetch in waiting.fetches:
                fetch.ended.result(30)
            waited = {one.key: one for one in waiting.fetches}


def ref(bench: Bench) -> RepositoryRef:
    return bench.ref(f"up/{NAME}")


def begin(bench: Bench, digest: str) -> Fetch:
    return fetch_layer(bench.core, CALLER, ref(bench), digest)


def ended(fetch: Fetch) -> EcrateError | None:
    fetch.ended.result(30)
    return fetch.error


def imported(bench: Bench) -> int:
    """Let all that waits be imported; give how many rounds that took."""
    rounds = 0
    while run_imports(bench.core, lambda: True):
        rounds += 1
    return rounds


@pytest.fixture
def image(upstream: Upstream) -> MadeImage:
    return upstream.add(NAME, make_image(400_000), "v1")


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_fetch_a_layer_once(
    make_cache: Callable[..., Bench], upstream: Upstream, image: MadeImage
) -> None:
    one, two = make_cache(), make_cache()
    (layer,) = image.layers
    path = f"/v2/{NAME}/blobs/{layer.digest}"
    gate = upstream.faults[path] = Gate(layer.content)
    pull(one, "v1")

    first = begin(one, layer.digest)
    assert gate.reached.wait(30)
    second = begin(two, layer.digest)
    # The other process follows the file that grows.
    wait_until(lambda: second.spool is not None and second.spool == first.spool)
    gate.open()

    assert [ended(first), ended(second)] == [None, None]
    assert upstream.count(path) == 1
    assert two.read(ref(two), layer.digest) == layer.content


def test_process_takes_over_from_one_that_failed(
    make_cache: Callable[..., Bench], upstream: Upstream, image: MadeImage
) -> None:
    one, two = make_cache(), make_cache()
    (layer,) = image.layers
    path = f"/v2/{NAME}/blobs/{layer.digest}"
    gate = upstream.faults[path] = Gate(layer.content[:-1] + b"?")
    pull(one, "v1")
    first = begin(one, layer.digest)
    assert gate.reached.wait(30)
    second = begin(two, layer.digest)
    wait_until(lambda: second.spool is not None)

    del upstream.faults[path]
    gate.open()

    assert isinstance(ended(first), UpstreamContentRefused)
    assert ended(second) is None
    assert two.read(ref(two), layer.digest) == layer.content


def test_process_takes_over_from_one_that_died(
    cache: Bench, upstream: Upstream, image: MadeImage
) -> None:
    pull(cache, "v1")
    (layer,) = image.layers
    with cache.writing() as tx:
        row = tx.one("SELECT id FROM repositories")
        assert row is not None
        name = f"fetch {row[0]} {layer.digest}"
        assert take_lease(tx, name, "the-dead-one", cache.clock.now, 20.0)

    fetch = begin(cache, layer.digest)
    time.sleep(0.3)
    assert not fetch.is_over
    cache.clock.advance(21)

    assert ended(fetch) is None
    assert cache.read(ref(cache), layer.digest) == layer.content
    assert upstream.count(f"/v2/{NAME}/blobs/{layer.digest}") == 1


def test_nothing_is_left_of_a_fetch(cache: Bench, tmp_path: Path, image: MadeImage) -> None:
    pull(cache, "v1")
    (layer,) = image.layers

    assert ended(begin(cache, layer.digest)) is None

    assert [*(tmp_path / "fetches").iterdir()] == []
    with cache.reading() as tx:
        assert tx.all("SELECT name FROM leases") == []
        assert tx.all("SELECT digest FROM missing_references WHERE digest = ?", layer.digest) == []


def test_fetch_ends_with_the_server(
    make_cache: Callable[..., Bench], upstream: Upstream, image: MadeImage
) -> None:
    bench = make_cache()
    (layer,) = image.layers
    gate = upstream.faults[f"/v2/{NAME}/blobs/{layer.digest}"] = Gate(layer.content)
    pull(bench, "v1")
    fetch = begin(bench, layer.digest)
    assert gate.reached.wait(30)

    assert bench.core.pull_through is not None
    bench.core.pull_through.stop()
    gate.open()

    assert isinstance(fetch.error, UpstreamUnavailable)


def test_layer_of_a_repository_that_went_is_garbage(
    cache: Bench, upstream: Upstream, image: MadeImage
) -> None:
    (layer,) = image.layers
    gate = upstream.faults[f"/v2/{NAME}/blobs/{layer.digest}"] = Gate(layer.content)
    pull(cache, "v1")
    fetch = begin(cache, layer.digest)
    assert gate.reached.wait(30)
    repositories.delete_repository(cache.core, CALLER, ref(cache), force=True)

    gate.open()

    assert ended(fetch) is None
    with pytest.raises(EcrateError):
        begin(cache, layer.digest)


@pytest.mark.parametrize("engine", ENGINES)
def test_list_is_imported_with_all_its_members(cache: Bench, upstream: Upstream) -> None:
    images = [upstream.add(NAME, make_image(100)) for _ in range(2)]
    index = index_of(OCI_INDEX, OCI_MANIFEST, *(one.manifest for one in images))
    upstream.put_index(NAME, index, "all")
    pull(cache, "all")

    assert imported(cache) > 0

    assert {one.digest.text for one in cache.images(ref(cache)) if one.digest} >= {
        one.digest for one in images
    }
    for one in images:
        for blob in one.blobs:
            assert cache.read(ref(cache), blob.digest) == blob.content
    asked = len(upstream.asked)
    assert imported(cache) == 0
    assert len(upstream.asked) == asked


def pushes(bench: Bench) -> list[tuple[str, str | None]]:
    """Give digest and tag of what the outbox says was pushed."""
    with bench.reading() as tx:
        rows = tx.all("SELECT detail FROM outbox WHERE kind = 'ECR Image Action' ORDER BY id")
    details = [json.loads(row[0]) for row in rows]
    return [(one["image-digest"], one.get("image-tag")) for one in details]


def test_image_counts_as_pushed_once_it_is_whole(cache: Bench, image: MadeImage) -> None:
    pull(cache, "v1")
    begun = pushes(cache)
    for blob in image.blobs:
        assert ended(begin(cache, blob.digest)) is None

    assert begun == []
    assert pushes(cache) == [(image.digest, "v1")]


def test_whole_image_counts_as_pushed_with_another_tag(
    cache: Bench, upstream: Upstream, image: MadeImage
) -> None:
    pull(cache, "v1")
    imported(cache)
    upstream.put(NAME, image.manifest, "v2")

    pull(cache, "v2")

    assert pushes(cache) == [(image.digest, "v1"), (image.digest, "v2")]


def test_list_counts_as_pushed_once_it_has_its_members(cache: Bench, upstream: Upstream) -> None:
    images = [upstream.add(NAME, make_image(size)) for size in (100, 5000)]
    index = index_of(OCI_INDEX, OCI_MANIFEST, *(one.manifest for one in images))
    digest = upstream.put_index(NAME, index, "all")
    pull(cache, "all")
    pull(cache, images[0].digest)
    begun = pushes(cache)

    size = pull(cache, images[1].digest).size

    assert begun == []
    assert pushes(cache) == [(digest, "all")]
    # AWS: that of the largest image in it.
    assert pull(cache, "all").size == size > 5000


def test_nothing_is_imported_where_that_is_off(
    make_cache: Callable[..., Bench], image: MadeImage
) -> None:
    bench = make_cache(imports_all=False)
    pull(bench, "v1")

    assert imported(bench) == 0
    assert not bench.has(ref(bench), image.layers[0].digest)


def test_import_that_fails_is_tried_again_later(
    cache: Bench, upstream: Upstream, image: MadeImage
) -> None:
    (layer,) = image.layers
    path = f"/v2/{NAME}/blobs/{layer.digest}"
    upstream.faults[path] = refusing(500)
    pull(cache, "v1")

    imported(cache)
    cache.clock.advance(59)
    imported(cache)
    assert upstream.count(path) == 1
    cache.clock.advance(2)
    del upstream.faults[path]
    imported(cache)

    assert upstream.count(path) == 2
    assert cache.has(ref(cache), layer.digest)


def test_import_waits_for_as_long_as_upstream_asks(
    cache: Bench, upstream: Upstream, image: MadeImage
) -> None:
    (layer,) = image.layers
    path = f"/v2/{NAME}/blobs/{layer.digest}"
    upstream.faults[path] = refusing(429, Retry_After="3600")
    pull(cache, "v1")

    imported(cache)
    cache.clock.advance(3500)
    imported(cache)
    assert upstream.count(path) == 1
    cache.clock.advance(101)
    imported(cache)

    assert upstream.count(path) == 2


@pytest.mark.parametrize("fault", [refusing(404), sending(b"other")], ids=["404", "other-bytes"])
def test_import_that_never_will_be_is_given_up(
    cache: Bench, upstream: Upstream, image: MadeImage, fault: Any
) -> None:
    (layer,) = image.layers
    upstream.faults[f"/v2/{NAME}/blobs/{layer.digest}"] = fault
    pull(cache, "v1")

    imported(cache)

    with cache.reading() as tx:
        assert tx.all("SELECT digest FROM upstream_imports") == []
    # Whoever asks for it asks upstream.
    assert ended(begin(cache, layer.digest)) is not None


def test_foreign_layers_are_left_where_they_are(cache: Bench, upstream: Upstream) -> None:
    image = make_image(10, 20)
    document = image.manifest.replace(
        f'"digest": "{image.layers[1].digest}"',
        f'"digest": "{image.layers[1].digest}", "urls": ["https://elsewhere.example/layer"]',
    )
    for blob in image.blobs[:2]:
        upstream.blobs[NAME, blob.digest] = blob.content
    upstream.put(NAME, document, "v1")
    pull(cache, "v1")

    imported(cache)

    assert upstream.count(f"/v2/{NAME}/blobs/{image.layers[1].digest}") == 0
    assert cache.has(ref(cache), image.layers[0].digest)


def test_layer_without_upstream_is_not_found(
    make_bench: Callable[..., Bench], upstream: Upstream
) -> None:
    bench = make_bench()
    bench.create(f"up/{NAME}")

    with pytest.raises(LayerNotFound):
        begin(bench, "sha256:" + "0" * 64)
    assert upstream.asked == []
