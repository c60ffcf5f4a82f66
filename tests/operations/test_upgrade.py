"""Data of earlier schemas: brought up to date with all that is in it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest
import yoyo

from ecrate.domain.names import Digest
from ecrate.operations import trash
from ecrate.store.database import SCHEMA_VERSION
from ecrate.store.sqlite import find_schema, migrate
from tests.support.audit import audit_data
from tests.support.core import DAY, Bench
from tests.support.images import make_image
from tests.support.lifecycle_bench import WEEK_OLD, put
from tests.support.pushing import make_index
from tests.support.trash import collect_all, delete, delete_repository, digests, restore

EARLIER = range(1, SCHEMA_VERSION)


def make_schema(path: Path, version: int) -> None:
    """Make a database as it was at that version."""
    folder = path.with_name("migrations")
    shutil.copytree(
        str(resources.files("ecrate.store") / "migrations" / "sqlite"), folder, dirs_exist_ok=True
    )
    for file in folder.glob("*.sql"):
        if int(file.name[:4]) > version:
            file.unlink()
    backend = yoyo.get_backend(f"sqlite:///{path}")
    with closing(backend.connection), backend.lock():
        backend.apply_migrations(backend.to_apply(yoyo.read_migrations(str(folder))))


def copy_rows(source: Path, target: Path) -> None:
    """Copy everything for which the target has tables and columns."""
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("ATTACH ? AS source", (str(source),))
        tables = connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE '%yoyo%' "
            "AND name NOT LIKE 'sqlite%' AND name <> 'schema_version'"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
            columns = ", ".join(row[1] for row in rows)
            connection.execute(
                f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM source.{table}"  # noqa: S608 - names from the schema
            )


@pytest.fixture(params=EARLIER)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a database of an earlier schema may be made."""
    make_schema(tmp_path / "earlier.db", request.param)
    return tmp_path


def age(folder: Path) -> None:
    """Let the data be as an earlier version left it."""
    copy_rows(folder / "ecrate.db", folder / "earlier.db")
    for file in folder.glob("ecrate.db*"):
        file.unlink()
    (folder / "earlier.db").rename(folder / "ecrate.db")


def test_data_is_worked_with_after_an_upgrade(folder: Path) -> None:
    before = Bench(folder)
    one, two = before.create("one"), before.create("two")
    image, child = make_image(10, 20), make_image(10)
    before.push(one, image, "v1", "v2")
    before.push(two, child)
    index = before.put(two, make_index(child), ["all"])
    put(before, two, WEEK_OLD)
    before.begin(one, b"begun")
    before.close()
    age(folder)

    migrate(folder / "ecrate.db")

    with closing(Bench(folder)) as bench:
        delete(bench, one, Digest(image.digest))
        delete_repository(bench, two)
        bench.clock.advance(3 * DAY)
        collect_all(bench)
        (restored,) = restore(bench, one, Digest(image.digest))
        trash.restore_repository(bench.core, two)
        assert restored.tags == ["v1", "v2"]
        assert digests(bench, two) == [Digest(child.digest), index]
        for ref, made in ((one, image), (two, child)):
            assert {bench.read(ref, blob.digest) for blob in made.blobs} == {
                blob.content for blob in made.blobs
            }
    assert list(audit_data(folder)) == []


def test_upgrade_makes_the_schema_that_a_first_start_makes(folder: Path) -> None:
    migrate(folder / "earlier.db")
    migrate(folder / "ecrate.db")

    assert _schema(folder / "earlier.db") == _schema(folder / "ecrate.db")


def test_upgrade_that_fails_leaves_the_data_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ecrate.db"
    make_schema(path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE trash_images (in_the_way INTEGER)")
    before = _schema(path)

    with pytest.raises(Exception, match="trash_images already exists"):
        migrate(path)
    after = _schema(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE trash_images")
    migrate(path)

    assert after == before
    assert find_schema(path) == (SCHEMA_VERSION, 11)


def _schema(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return [
            *connection.execute("SELECT version, oldest_code FROM schema_version"),
            *connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%yoyo%' ORDER BY name"
            ),
        ]
