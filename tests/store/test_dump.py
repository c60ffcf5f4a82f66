"""All rows, table by table: nothing is forgotten, and it can be written again."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from ecrate.operations.backups.rows import read_sequences
from ecrate.store import dump
from ecrate.store.database import Database
from ecrate.store.sqlite import SqliteDatabase, migrate
from tests.support.core import Bench
from tests.support.images import make_image
from tests.support.postgres import Postgres
from tests.support.pushing import make_index
from tests.support.schemas import schema_of


@pytest.fixture
def full(tmp_path: Path) -> Bench:
    """A database with rows in most tables."""
    bench = Bench(tmp_path)
    one = bench.create("one", resource_tags=(("a", "b"),))
    image = make_image(10)
    bench.push(one, image, "v1", "v2")
    bench.put(one, make_index(image), ["all"])
    return bench


def test_all_tables_and_columns_are_named(database_url: str) -> None:
    schema = schema_of(database_url)
    columns = {(table, column, kind) for table, column, kind, _ in schema.columns}

    named = {
        (table.name, column, "bytes" if column in table.binary else "other")
        for table in dump.TABLES
        for column in table.columns
    }
    assert named == {
        (table, column, kind if kind == "bytes" else "other")
        for table, column, kind in columns
        if table not in dump.LEFT_OUT
    }
    assert {(table.name, *table.keys) for table in dump.TABLES} <= schema.unique


@pytest.mark.postgres
def test_identities_are_named(postgres: Postgres) -> None:
    with postgres.prepared() as url, psycopg.connect(url) as connection:
        made = connection.execute(
            "SELECT table_name FROM information_schema.columns WHERE is_identity = 'YES' "
            "OR column_default LIKE 'nextval%' AND table_name NOT LIKE '%yoyo%'"
        ).fetchall()

    assert {name for (name,) in made} == {table.name for table in dump.TABLES if table.has_identity}


def test_rows_come_out_as_they_went_in(full: Bench, tmp_path: Path) -> None:
    migrate(tmp_path / "copy.db")
    copy = SqliteDatabase(tmp_path / "copy.db")
    with full.reading() as old, copy.write() as new:
        for table in dump.TABLES:
            for page in dump.read_rows(old, table):
                dump.insert_rows(new, table.name, table.columns, page)
        for name, value in read_sequences(full.database, old).items():
            copy.set_sequence(new, name, value)

    with full.reading() as old, copy.read() as new:
        assert not dump.is_empty(new)
        assert dump.count_rows(new) == dump.count_rows(old) > 10
        for table in dump.TABLES:
            assert list(dump.read_rows(new, table)) == list(dump.read_rows(old, table))
        assert read_sequences(copy, new) == read_sequences(full.database, old)
    copy.close()
    full.close()


def test_pages_leave_nothing_out(database: Database) -> None:
    rows = [("1", "r", f"setting {number:04}", "x") for number in range(2500)]
    table = next(table for table in dump.TABLES if table.name == "account_settings")
    with database.write() as tx:
        dump.insert_rows(tx, table.name, table.columns, rows)

    with database.read() as tx:
        pages = list(dump.read_rows(tx, table))

    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert [row for page in pages for row in page] == rows


def test_identity_that_was_given_out_is_not_given_out_again(full: Bench, tmp_path: Path) -> None:
    with full.writing() as tx:
        tx.run("DELETE FROM blobs WHERE id = 99")
        full.database.set_sequence(tx, "blobs", 99)

    with full.writing() as tx:
        row = tx.one(
            "INSERT INTO blobs (digest, key, size, stored_at) VALUES ('d', 'k', 1, 0) RETURNING id"
        )

    assert row == (100,)
    with full.reading() as tx:
        assert full.database.find_sequence(tx, "blobs") == 100
        assert full.database.find_sequence(tx, "principals") == 0
    full.close()
    assert tmp_path


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        pytest.param("tags; DROP TABLE tags", ["tag"], id="table"),
        pytest.param("tags", ["tag) --"], id="column"),
    ],
)
def test_names_that_no_table_has_are_refused(
    database: Database, name: str, columns: list[str]
) -> None:
    with pytest.raises(ValueError, match="a name that no table has"), database.write() as tx:
        dump.insert_rows(tx, name, columns, [("x",)])
