"""What a page costs: the same however long the list is.

It is told in steps of SQLite's virtual machine, and in the rows that PostgreSQL looks at.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ecrate.domain.names import Digest, ImageId, RegistryRef, RepositoryRef
from ecrate.store import images, layers, repositories
from ecrate.store.database import Database, Row, Transaction
from ecrate.store.engines import open_database
from ecrate.store.sqlite import SqliteTransaction, connect, migrate
from tests.support.postgres import ENGINES, Postgres

REGISTRY = RegistryRef("000000000000", "us-east-1")
SIZES = (200, 5000)
PAGE = 100
# Repositories by what most of their images are; those of the other kind come last.
UNTAGGED, TAGGED = 1, 2
SUBJECT = "sha256:subject"
BLOB = "sha256:blob"

Query = Callable[[Transaction], object]
Cost = Callable[[Query], int]


@pytest.fixture(scope="module", params=ENGINES)
def costs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Cost]]:
    """What tells the cost of a query, for databases that differ in size only."""
    folder = tmp_path_factory.mktemp("cost")
    paths = [folder / f"{size}.db" for size in SIZES]
    with contextlib.ExitStack() as opened:
        if request.param == "sqlite":
            for path in paths:
                migrate(path)
            urls = [f"sqlite://{path}" for path in paths]
        else:
            postgres: Postgres = request.getfixturevalue("postgres")
            urls = [opened.enter_context(postgres.prepared()) for _ in SIZES]
        databases = [open_database(url, connections=1) for url in urls]
        for database, size in zip(databases, SIZES, strict=True):
            opened.callback(database.close)
            fill(database, size)
        if request.param == "sqlite":
            connections = [connect(path) for path in paths]
            for connection in connections:
                opened.callback(connection.close)
            yield [functools.partial(steps_of, connection) for connection in connections]
        else:
            yield [functools.partial(rows_of, database) for database in databases]


def fill(database: Database, size: int) -> None:
    with database.write() as tx:
        tx.many(
            "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "
            "tag_mutability_filters, scan_on_push, encryption_type) "
            "VALUES (?, ?, ?, 0, 'MUTABLE', '[]', 0, 'AES256')",
            [(REGISTRY.id, REGISTRY.region, f"r/{one:06}") for one in range(1, size + 1)],
        )
        add_images(tx, UNTAGGED, [0] * size + [1] * PAGE, 0)
        add_images(tx, TAGGED, [1] * size + [0] * PAGE, size + PAGE)
        tx.run("INSERT INTO blobs (digest, key, size, stored_at) VALUES (?, 'key', 1, 0)", BLOB)
        tx.many(
            "INSERT INTO layers (repository_id, blob_id, touched_at) VALUES (?, 1, 0)",
            [(one,) for one in range(size - 20, size)],
        )
    if not database.is_local:
        with database.write() as tx:
            tx.run("ANALYZE")


def add_images(tx: Transaction, repository: int, tag_counts: list[int], last: int) -> None:
    """Add one image a count; the last ones refer to `SUBJECT`, the others to another."""
    rows = list(enumerate(tag_counts, last + 1))
    others = len(rows) - PAGE
    subjects = ["sha256:another"] * others + [SUBJECT] * PAGE
    tx.many(
        "INSERT INTO images (repository_id, digest, media_type, artifact_media_type, size, "
        "pushed_at, subject, annotations, manifest_size, tag_count) "
        "VALUES (?, ?, 'manifest', 'type', 1, 0, ?, '{}', 1, ?)",
        [
            (repository, f"sha256:{one}", subject, count)
            for (one, count), subject in zip(rows, subjects, strict=True)
        ],
    )
    tx.many(
        "INSERT INTO tags (repository_id, tag, image_id) VALUES (?, ?, ?)",
        [(repository, f"v{one:08}", one) for one, count in rows if count],
    )


def steps_of(connection: sqlite3.Connection, query: Query) -> int:
    """Count, in tens, the instructions that the query takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 10)
    found = query(SqliteTransaction(connection))
    connection.set_progress_handler(None, 10)
    assert found
    return steps


def rows_of(database: Database, query: Query) -> int:
    """Count the rows that the query looks at, in tables and indexes."""
    with database.read() as tx:
        explaining = Explaining(tx)
        assert query(explaining)
    return explaining.rows


@dataclass
class Explaining:
    """Statements that are explained before they are run."""

    tx: Transaction
    rows: int = 0

    def one(self, sql: str, *values: object) -> Row | None:
        self._explain(sql, values)
        return self.tx.one(sql, *values)

    def all(self, sql: str, *values: object) -> list[Row]:
        self._explain(sql, values)
        return self.tx.all(sql, *values)

    def run(self, sql: str, *values: object) -> int:
        return self.tx.run(sql, *values)

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        self.tx.many(sql, rows)

    def _explain(self, sql: str, values: tuple[object, ...]) -> None:
        row = self.tx.one(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", *values)
        assert row is not None
        self.rows += _looked_at(row[0][0]["Plan"])


def _looked_at(plan: dict[str, Any]) -> int:
    own = 0
    if "Scan" in plan["Node Type"]:
        of_a_loop = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        own = round(of_a_loop * plan["Actual Loops"])
    return own + sum(_looked_at(one) for one in plan.get("Plans", ()))


def image_page(repository: int, status: str) -> Query:
    return lambda tx: images.list_images(tx, repository, status, 0, PAGE, storage="ACTIVE", now=1.0)


def image_id_page(repository: int, status: str) -> Query:
    return lambda tx: images.list_image_ids(
        tx, repository, status, (0, ""), PAGE, storage="ACTIVE", now=1.0
    )


def pull(tx: Transaction, image_id: ImageId) -> object:
    ref = RepositoryRef(REGISTRY, f"r/{UNTAGGED:06}")
    _, image = images.open_image(tx, ref, image_id)
    return image


def pull_a_tag(tx: Transaction) -> object:
    (tag,) = images.list_tags(tx, UNTAGGED, "", 1, now=1.0)
    return pull(tx, ImageId(tag=tag))


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(lambda tx: images.list_tags(tx, TAGGED, "", PAGE, now=1.0), id="tags"),
        pytest.param(
            lambda tx: images.list_tags(tx, TAGGED, "v00000201", PAGE, now=1.0), id="tags-behind"
        ),
        pytest.param(image_page(UNTAGGED, "ANY"), id="images"),
        pytest.param(image_page(UNTAGGED, "TAGGED"), id="few-tagged-images"),
        pytest.param(image_page(TAGGED, "UNTAGGED"), id="few-untagged-images"),
        pytest.param(image_id_page(UNTAGGED, "ANY"), id="image-ids"),
        pytest.param(image_id_page(UNTAGGED, "TAGGED"), id="few-tagged-image-ids"),
        pytest.param(image_id_page(TAGGED, "UNTAGGED"), id="few-untagged-image-ids"),
        pytest.param(
            lambda tx: images.list_referrers(
                tx,
                UNTAGGED,
                SUBJECT,
                artifact_types=["type"],
                storage="ACTIVE",
                after=0,
                limit=PAGE,
                now=1.0,
            ),
            id="referrers",
        ),
        pytest.param(
            lambda tx: repositories.list_repositories(tx, REGISTRY, "", PAGE), id="repositories"
        ),
        pytest.param(
            lambda tx: layers.list_repositories_with(tx, REGISTRY, BLOB, 16), id="mount-sources"
        ),
        pytest.param(lambda tx: layers.find_blob(tx, BLOB), id="blob"),
        pytest.param(pull_a_tag, id="image-by-tag"),
        pytest.param(lambda tx: pull(tx, ImageId(Digest("sha256:1"))), id="image-by-digest"),
    ],
)
def test_page_costs_the_same_in_a_long_list(costs: list[Cost], query: Query) -> None:
    small, large = (cost(query) for cost in costs)

    assert large <= 1.2 * small + 10
