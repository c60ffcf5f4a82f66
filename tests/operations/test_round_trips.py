"""How often a deed goes to the database and back: what it costs where that is another machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from ecrate.domain.names import ImageId
from ecrate.operations import images, layers
from ecrate.operations.tokens import caller_of
from ecrate.store import identities
from ecrate.store.database import Row, Transaction
from tests.support.core import REGISTRY, Bench, InterruptedDatabase
from tests.support.scenes import Scene, begin, complete, empty, layered, pushed, uploading


class CountedDatabase(InterruptedDatabase):
    """Counts statements, and the beginnings and ends of transactions."""

    trips = 0

    @override
    def read(self) -> Any:
        return self._counted(self.inner.read(), 2)

    @override
    def look(self) -> Any:
        return self._counted(self.inner.look(), 0)

    @override
    def write(self) -> Any:
        return self._counted(self.inner.write(), 2)

    @contextlib.contextmanager
    def _counted(
        self, block: contextlib.AbstractContextManager[Transaction], trips: int
    ) -> Iterator[Transaction]:
        self.trips += trips
        with block as tx:
            yield _CountedTransaction(tx, self)


@dataclass(frozen=True)
class _CountedTransaction:
    inner: Transaction
    database: CountedDatabase

    def one(self, sql: str, *values: object) -> Row | None:
        self.database.trips += 1
        return self.inner.one(sql, *values)

    def all(self, sql: str, *values: object) -> list[Row]:
        self.database.trips += 1
        return self.inner.all(sql, *values)

    def run(self, sql: str, *values: object) -> int:
        self.database.trips += 1
        return self.inner.run(sql, *values)

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        # All rows go in one, and nothing goes where there are none.
        rows = list(rows)
        self.database.trips += bool(rows)
        self.inner.many(sql, rows)


def authenticate(bench: Bench, _: Scene) -> object:
    return caller_of(bench.core, "AKIA", None, REGISTRY.region)


def with_a_key(bench: Bench) -> Scene:
    with bench.writing() as tx:
        root = identities.insert_principal(
            tx, REGISTRY.id, "root", "root", arn="arn", trust_policy=None, now=0.0
        )
        identities.insert_access_key(tx, "AKIA", root.id, 0.0)
    return empty(bench)


def cached(bench: Bench) -> Scene:
    scene = pushed(bench)
    images.get_image(bench.core, bench.caller, scene.one, ImageId(tag="v1"))
    return scene


@pytest.mark.parametrize(
    ("arrange", "deed", "trips"),
    [
        pytest.param(with_a_key, authenticate, 1, id="authenticate"),
        pytest.param(
            cached,
            lambda bench, scene: images.get_image(
                bench.core, bench.caller, scene.one, ImageId(tag="v1")
            ),
            1,
            id="get-by-tag",
        ),
        pytest.param(
            pushed,
            lambda bench, scene: images.get_image(
                bench.core, bench.caller, scene.one, scene.image_id
            ),
            2,
            id="get-by-digest-the-first-time",
        ),
        pytest.param(
            layered,
            lambda bench, scene: layers.check_layer(
                bench.core, bench.caller, scene.one, scene.layer
            ),
            1,
            id="check-layer",
        ),
        pytest.param(
            layered,
            lambda bench, scene: layers.batch_check_layer_availability(
                bench.core, bench.caller, scene.one, [blob.digest for blob in scene.image.blobs]
            ),
            2,
            id="check-layers",
        ),
        pytest.param(empty, lambda bench, scene: begin(bench, scene.one), 4, id="begin"),
        pytest.param(
            uploading,
            lambda bench, scene: complete(bench, scene.one, scene.upload_id),
            15,
            id="complete",
        ),
        pytest.param(
            layered,
            lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v1"]),
            17,  # the last of them tells the event; one asks whether to scan
            id="put",
        ),
        pytest.param(
            pushed,
            lambda bench, scene: bench.put(scene.one, scene.image.manifest, ["v2"]),
            9,  # one of them mends a manifest that was damaged
            id="put-another-tag",
        ),
    ],
)
def test_deed_goes_to_the_database_no_more_often_than_it_has_to(
    tmp_path: Path,
    arrange: Callable[[Bench], Scene],
    deed: Callable[[Bench, Scene], object],
    trips: int,
) -> None:
    bench = Bench(tmp_path, engine=CountedDatabase)
    database = bench.database
    assert isinstance(database, CountedDatabase)
    scene = arrange(bench)
    before = database.trips

    deed(bench, scene)

    counted = database.trips - before
    bench.close()
    assert counted <= trips
