"""The manifest cache, ids, and the quota of repositories."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

import pytest
from typing_extensions import override

from ecrate.domain.errors import LimitExceeded
from ecrate.operations import repositories
from ecrate.operations.core import Limits, ManifestCache
from tests.support.core import Bench


@pytest.fixture
def cache() -> ManifestCache:
    """A cache of 640 bytes; a document may have 10."""
    return ManifestCache(640)


def test_cache_gives_back_what_was_put(cache: ManifestCache) -> None:
    cache.put(1, b"one")

    assert cache.get(1) == b"one"
    assert cache.get(2) is None


def test_cache_drops_what_was_not_used_for_longest(cache: ManifestCache) -> None:
    for number in range(64):
        cache.put(number, bytes(10))
    cache.get(0)

    cache.put(64, bytes(10))

    assert cache.get(0) is not None
    assert cache.get(1) is None


def test_cache_drops_as_much_as_it_needs(cache: ManifestCache) -> None:
    for number in range(640):
        cache.put(number, b"x")

    cache.put(640, bytes(10))

    assert [cache.get(number) for number in range(11)] == [None] * 10 + [b"x"]


def test_cache_refuses_a_document_that_would_crowd_it(cache: ManifestCache) -> None:
    cache.put(1, bytes(11))

    assert cache.get(1) is None


def test_cache_counts_a_document_once(cache: ManifestCache) -> None:
    for _ in range(100):
        cache.put(1, bytes(10))

    for number in range(2, 65):
        cache.put(number, bytes(10))

    assert cache.get(1) is not None


def test_new_id_is_a_random_uuid(bench: Bench) -> None:
    ids = {bench.core.new_id() for _ in range(100)}

    assert {UUID(one).version for one in ids} == {4}
    assert len(ids) == 100


def test_create_repository_beyond_the_quota_is_refused(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(limits=Limits(repositories_per_registry=2))
    refs = [bench.create("one"), bench.create("two")]

    with pytest.raises(LimitExceeded, match="maximum allowed number of repositories which is '2'"):
        bench.create("three")

    repositories.delete_repository(bench.core, bench.caller, refs[0], force=False)
    assert bench.create("three").name == "three"


class SlowDocument(bytes):
    """A document during whose second measuring another thread begins `deed`."""

    thread: threading.Thread
    measured = 0

    @override
    def __len__(self) -> int:
        self.measured += 1
        if self.measured == 2:
            self.thread.start()
            # As long as the cache is locked, the other thread waits.
            self.thread.join(0.2)
        return super().__len__()


def test_manifest_cache_keeps_its_size_when_two_threads_put_at_once() -> None:
    cache = ManifestCache(6400)
    slow = SlowDocument(100)

    def fill() -> None:
        for number in range(1, 64):
            cache.put(number, bytes(100))

    slow.thread = threading.Thread(target=fill)
    cache.put(0, slow)
    slow.thread.join()

    cache.put(64, bytes(100))

    assert [cache.get(number) is not None for number in range(65)] == [False] + [True] * 64
