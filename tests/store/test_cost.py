"""What a page costs SQLite, in steps of its virtual machine: the same however long the list is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecrate.domain.names import RegistryRef
from ecrate.store import images, layers, repositories
from ecrate.store.database import Transaction
from ecrate.store.sqlite import SqliteTransaction, connect, migrate

REGISTRY = RegistryRef("000000000000", "us-east-1")
SIZES = (200, 5000)
PAGE = 100
# Repositories by what most of their images are; those of the other kind come last.
UNTAGGED, TAGGED = 1, 2
SUBJECT = "sha256:subject"
BLOB = "sha256:blob"

Query = Callable[[Transaction], object]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[sqlite3.Connection]]:
    """Databases that differ in size only."""
    folder = tmp_path_factory.mktemp("cost")
    opened = [make_database(folder / f"{size}.db", size) for size in SIZES]
    yield opened
    for one in opened:
        one.close()


def make_database(path: Path, size: int) -> sqlite3.Connection:
    migrate(path)
    database = connect(path)
    database.execute("BEGIN")
    database.executemany(
        "INSERT INTO repositories (id, registry_id, region, name, created_at, tag_mutability, "
        "tag_mutability_filters, scan_on_push, encryption_type) "
        "VALUES (?, ?, ?, ?, 0, 'MUTABLE', '[]', 0, 'AES256')",
        ((one, REGISTRY.id, REGISTRY.region, f"r/{one:06}") for one in range(1, size + 1)),
    )
    add_images(database, UNTAGGED, [0] * size + [1] * PAGE)
    add_images(database, TAGGED, [1] * size + [0] * PAGE)
    database.execute(
        "INSERT INTO blobs (id, digest, key, size, stored_at) VALUES (1, ?, 'key', 1, 0)", (BLOB,)
    )
    database.executemany(
        "INSERT INTO layers (repository_id, blob_id, touched_at) VALUES (?, 1, 0)",
        ((one,) for one in range(size - 20, size)),
    )
    database.execute("COMMIT")
    return database


def add_images(database: sqlite3.Connection, repository: int, tag_counts: list[int]) -> None:
    """Add one image a count; the last ones refer to `SUBJECT`, the others to another."""
    (last,) = database.execute("SELECT coalesce(max(id), 0) FROM images").fetchone()
    rows = list(enumerate(tag_counts, last + 1))
    others = len(rows) - PAGE
    subjects = ["sha256:another"] * others + [SUBJECT] * PAGE
    database.executemany(
        "INSERT INTO images (id, repository_id, digest, media_type, artifact_media_type, size, "
        "pushed_at, subject, annotations, manifest_size, tag_count) "
        "VALUES (?, ?, ?, 'manifest', 'type', 1, 0, ?, '{}', 1, ?)",
        (
            (one, repository, f"sha256:{one}", subject, count)
            for (one, count), subject in zip(rows, subjects, strict=True)
        ),
    )
    database.executemany(
        "INSERT INTO tags (repository_id, tag, image_id) VALUES (?, ?, ?)",
        ((repository, f"v{one:08}", one) for one, count in rows if count),
    )


def steps_of(database: sqlite3.Connection, query: Query) -> int:
    """Count, in tens, the instructions that the query takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    database.set_progress_handler(count, 10)
    found = query(SqliteTransaction(database))
    database.set_progress_handler(None, 10)
    assert found
    return steps


def image_page(repository: int, status: str) -> Query:
    return lambda tx: images.list_images(tx, repository, status, 0, PAGE, storage="ACTIVE", now=1.0)


def image_id_page(repository: int, status: str) -> Query:
    return lambda tx: images.list_image_ids(
        tx, repository, status, (0, ""), PAGE, storage="ACTIVE", now=1.0
    )


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
    ],
)
def test_page_costs_the_same_in_a_long_list(
    databases: list[sqlite3.Connection], query: Query
) -> None:
    query_steps = [steps_of(database, query) for database in databases]

    assert query_steps[1] <= 1.2 * query_steps[0] + 10
