"""The tables of what is compared with what: they fit the schema, and every page comes once."""

from __future__ import annotations

import pytest

from ecrate.store import checks
from ecrate.store.checks import COUNTS, RELATIONS, Count, Relation
from ecrate.store.database import Database
from tests.store.test_schema import SETUP


@pytest.fixture
def filled(database: Database) -> Database:
    """A repository with two images, one an index of the other, whose counts are all 0."""
    with database.write() as tx:
        for statement in SETUP:
            tx.run(statement)
    return database


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda one: f"{one.table}-{one.parent}")
def test_nothing_points_nowhere(filled: Database, relation: Relation) -> None:
    with filled.read() as tx:
        rows = checks.list_relation(tx, relation, (), 100)
        behind = checks.list_relation(tx, relation, rows[0][0], 100) if rows else []

    assert [is_broken for _, is_broken in rows if is_broken] == []
    assert behind == rows[1:]


@pytest.mark.parametrize("count", COUNTS, ids=lambda one: one.table)
def test_counts_are_told_and_counted_again(filled: Database, count: Count) -> None:
    with filled.write() as tx:
        tx.run(f"UPDATE {count.table} SET {count.column} = 7")  # noqa: S608 - from the table
    with filled.read() as tx:
        rows = checks.list_counts(tx, count, (), 100)
        behind = checks.list_counts(tx, count, rows[0][0], 100)
        found = checks.find_count(tx, count, rows[0][0])

    with filled.write() as tx:
        for key, _ in rows:
            checks.recount(tx, count, key)

    assert {is_wrong for _, is_wrong in rows} == {True}
    assert behind == rows[1:]
    assert found is not None
    assert found[0] == 7
    assert found[2]
    with filled.read() as tx:
        after = checks.list_counts(tx, count, (), 100)
    assert [key for key, is_wrong in after if is_wrong] == []
