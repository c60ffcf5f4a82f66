"""What the schema itself refuses, whatever the code above it does."""

from __future__ import annotations

from typing import Any

import pytest

from ecrate.store.database import ConstraintError, Database

# The first row of a table has the id 1, on either engine.
SETUP = (
    "INSERT INTO registries (id, region, repository_count) VALUES ('1', 'r', 1)",
    (
        "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "
        "tag_mutability_filters, scan_on_push, encryption_type) "
        "VALUES ('1', 'r', 'one', 0, 'MUTABLE', '[]', 0, 'AES256')"
    ),
    "INSERT INTO blobs (digest, key, size, stored_at) VALUES ('d1', 'k1', 1, 0)",
    "INSERT INTO layers (repository_id, blob_id, touched_at) VALUES (1, 1, 0)",
    (
        "INSERT INTO images (repository_id, digest, media_type, size, pushed_at, "
        "manifest_size) VALUES (1, 'i1', 't', 1, 0, 1), (1, 'i2', 't', 1, 0, 1)"
    ),
    "INSERT INTO image_layers (image_id, repository_id, blob_id, media_type) VALUES (1, 1, 1, 't')",
    "INSERT INTO image_children (image_id, child_id) VALUES (2, 1)",
    "INSERT INTO tags (repository_id, tag, image_id) VALUES (1, 'v1', 1)",
    (
        "INSERT INTO uploads (id, repository_id, principal, hash_state, touched_at) "
        "VALUES ('u1', 1, 'p', '', 0)"
    ),
)


@pytest.fixture
def full(database: Database) -> Database:
    """A repository with an image of one layer, an index of it, a tag and an upload."""
    with database.write() as tx:
        for statement in SETUP:
            tx.run(statement)
    return database


def run(database: Database, statement: str) -> Any:
    with database.write() as tx:
        return tx.run(statement)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(
            "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "
            "tag_mutability_filters, scan_on_push, encryption_type) "
            "VALUES ('1', 'r', 'one', 0, 'MUTABLE', '[]', 0, 'AES256')",
            id="second-repository-of-a-name",
        ),
        pytest.param(
            "INSERT INTO blobs (digest, key, size, stored_at) VALUES ('d1', 'k2', 1, 0)",
            id="second-blob-of-a-digest",
        ),
        pytest.param(
            "INSERT INTO blobs (digest, key, size, stored_at) VALUES ('d2', 'k1', 1, 0)",
            id="second-blob-of-a-key",
        ),
        pytest.param(
            "INSERT INTO images (repository_id, digest, media_type, size, pushed_at, "
            "manifest_size) VALUES (1, 'i1', 't', 1, 0, 1)",
            id="second-image-of-a-digest",
        ),
        pytest.param(
            "INSERT INTO tags (repository_id, tag, image_id) VALUES (1, 'v1', 2)",
            id="second-image-of-a-tag",
        ),
        pytest.param(
            "INSERT INTO layers (repository_id, blob_id, touched_at) VALUES (1, 9, 0)",
            id="layer-without-bytes",
        ),
        pytest.param(
            "INSERT INTO layers (repository_id, blob_id, touched_at) VALUES (9, 1, 0)",
            id="layer-of-no-repository",
        ),
        pytest.param(
            "INSERT INTO tags (repository_id, tag, image_id) VALUES (1, 'v2', 9)",
            id="tag-of-no-image",
        ),
        pytest.param(
            "INSERT INTO image_layers (image_id, repository_id, blob_id, media_type) "
            "VALUES (1, 1, 9, 't')",
            id="image-of-no-layer",
        ),
        pytest.param("DELETE FROM blobs", id="bytes-of-a-layer"),
        pytest.param("DELETE FROM layers", id="layer-of-an-image"),
        pytest.param("DELETE FROM images WHERE id = 1", id="image-of-an-index"),
        pytest.param("DELETE FROM repositories", id="repository-of-anything"),
        pytest.param("UPDATE tags SET image_id = 9", id="tag-moved-nowhere"),
    ],
)
def test_statement_that_would_break_a_promise_is_refused(full: Database, statement: str) -> None:
    with pytest.raises(ConstraintError):
        run(full, statement)


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        pytest.param("DELETE FROM images WHERE id = 2", "image_children", id="index"),
        pytest.param("DELETE FROM blobs WHERE id = 2", "unlinked_blobs", id="unlinked-blob"),
    ],
)
def test_delete_takes_what_depends_along(full: Database, statement: str, table: str) -> None:
    run(full, "INSERT INTO blobs (digest, key, size, stored_at) VALUES ('d2', 'k2', 1, 0)")
    run(full, "INSERT INTO unlinked_blobs (blob_id) VALUES (2)")

    run(full, statement)

    with full.read() as tx:
        assert tx.all(f"SELECT * FROM {table}") == []  # noqa: S608 - a name from the table above


@pytest.mark.parametrize(
    ("insert", "delete"),
    [
        pytest.param(
            "INSERT INTO repositories (registry_id, region, name, created_at, tag_mutability, "
            "tag_mutability_filters, scan_on_push, encryption_type) "
            "VALUES ('1', 'r', 'two', 0, 'MUTABLE', '[]', 0, 'AES256') RETURNING id",
            "DELETE FROM repositories WHERE name = 'two'",
            id="repository",
        ),
        pytest.param(
            "INSERT INTO images (repository_id, digest, media_type, size, pushed_at, "
            "manifest_size) VALUES (1, 'i3', 't', 1, 0, 1) RETURNING id",
            "DELETE FROM images WHERE digest = 'i3'",
            id="image",
        ),
        pytest.param(
            "INSERT INTO blobs (digest, key, size, stored_at) VALUES ('d2', 'k2', 1, 0) "
            "RETURNING id",
            "DELETE FROM blobs WHERE digest = 'd2'",
            id="blob",
        ),
    ],
)
def test_id_is_never_used_again(full: Database, insert: str, delete: str) -> None:
    with full.write() as tx:
        first = tx.one(insert) or (0,)
        tx.run(delete)
        second = tx.one(insert) or (0,)

    assert second > first
