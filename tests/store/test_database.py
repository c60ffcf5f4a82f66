"""The contract of the Database seam, for every engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from ecrate.store.database import ConstraintError, Database, Transaction

INSERT = "INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ?)"
COUNT = "SELECT count(*) FROM leases"
ADD = "UPDATE leases SET expires_at = expires_at + 1"


class OutsideError(Exception):
    """Something that has nothing to do with the database."""


def count(database: Database) -> int:
    with database.read() as tx:
        return int((tx.one(COUNT) or (0,))[0])


def insert(tx: Transaction, name: str) -> None:
    tx.run(INSERT, name, "me", 0.0)


def insert_and(database: Database, deed: Callable[[Transaction], object]) -> None:
    with database.write() as tx:
        insert(tx, "a")
        deed(tx)


def fail(error: type[BaseException]) -> None:
    raise error


def total(database: Database) -> float:
    with database.read() as tx:
        return float((tx.one("SELECT sum(expires_at) FROM leases") or (0.0,))[0])


def test_one_gives_the_first_row(database: Database) -> None:
    with database.read() as tx:
        row = tx.one("SELECT 1, 'a', 2.5, NULL")

    assert row == (1, "a", 2.5, None)


def test_one_gives_nothing_where_there_is_no_row(database: Database) -> None:
    with database.read() as tx:
        assert tx.one("SELECT * FROM leases") is None


def test_all_gives_the_rows_in_order(database: Database) -> None:
    with database.write() as tx:
        tx.many(INSERT, [("b", "me", 1.0), ("a", "me", 2.0)])
        rows = tx.all("SELECT name, expires_at FROM leases ORDER BY name")

    assert rows == [("a", 2.0), ("b", 1.0)]


def test_run_gives_the_number_of_rows_changed(database: Database) -> None:
    with database.write() as tx:
        tx.many(INSERT, [(name, "me", 0.0) for name in "abc"])
        changed = tx.run("UPDATE leases SET holder = ? WHERE name > ?", "you", "a")

    assert changed == 2


def test_many_of_nothing_does_nothing(database: Database) -> None:
    with database.write() as tx:
        tx.many(INSERT, [])

    assert count(database) == 0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("'; DROP TABLE leases; --", id="quotes"),
        pytest.param("\N{SNOWMAN}", id="snowman"),
        pytest.param("", id="empty"),
    ],
)
def test_value_is_kept_as_it_is(database: Database, value: str) -> None:
    with database.write() as tx:
        insert(tx, value)

    with database.read() as tx:
        assert tx.all("SELECT name FROM leases") == [(value,)]


def test_value_that_no_text_can_have_finds_nothing(database: Database) -> None:
    with database.write() as tx:
        insert(tx, "a")
        found = tx.all("SELECT name FROM leases WHERE name = ?", "a\x00")

    assert found == []


def test_texts_are_in_order_of_their_bytes(database: Database) -> None:
    names = ["-", ".", "1", "A", "B", "_", "a", "a-", "a/", "aB", "ab", "\xe9", "\N{SNOWMAN}"]
    with database.write() as tx:
        tx.many(INSERT, [(name, "me", 0.0) for name in reversed(names)])

    with database.read() as tx:
        found = tx.all("SELECT name FROM leases ORDER BY name")
        behind = tx.all("SELECT name FROM leases WHERE name > ? ORDER BY name", "_")

    assert [name for (name,) in found] == names
    assert [name for (name,) in behind] == names[names.index("a") :]


def test_write_is_seen_by_another_process_afterwards(
    database: Database, make_database: Callable[[], Database]
) -> None:
    with database.write() as tx:
        insert(tx, "a")

    assert count(make_database()) == 1


def test_write_is_not_seen_before_it_ends(database: Database) -> None:
    with database.write() as tx:
        insert(tx, "a")
        meanwhile = count(database)

    assert meanwhile == 0
    assert count(database) == 1


def test_write_sees_what_it_wrote(database: Database) -> None:
    with database.write() as tx:
        insert(tx, "a")

        assert tx.one(COUNT) == (1,)


def test_read_sees_one_snapshot(database: Database) -> None:
    with database.read() as reading:
        before = reading.one(COUNT)
        with database.write() as tx:
            insert(tx, "a")
        after = reading.one(COUNT)

    assert before == after == (0,)
    assert count(database) == 1


def test_read_changes_nothing(database: Database) -> None:
    # Whether it is refused is the engine's business.
    with suppress(Exception), database.read() as tx:
        insert(tx, "a")

    assert count(database) == 0


def test_look_sees_what_is_committed(database: Database) -> None:
    with database.look() as looking:
        with database.write() as tx:
            insert(tx, "a")
        after = looking.one(COUNT)

    assert after in {(0,), (1,)}
    assert count(database) == 1


def test_read_does_not_wait_for_a_lock(database: Database) -> None:
    with database.write() as tx:
        insert(tx, "a")
    with database.write() as tx, database.read() as reading, database.look() as looking:
        tx.one("SELECT * FROM leases FOR UPDATE")
        seen = [one.one("SELECT name FROM leases FOR UPDATE") for one in (reading, looking)]

    assert seen == [("a",), ("a",)]


def test_reads_do_not_wait_for_one_another(database: Database) -> None:
    with database.read() as first, database.read() as second:
        assert first.one(COUNT) == second.one(COUNT) == (0,)


@pytest.mark.parametrize("error", [OutsideError, KeyboardInterrupt, ConstraintError])
def test_error_undoes_the_write(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error):
        insert_and(database, lambda _: fail(error))

    assert count(database) == 0


def test_error_in_a_read_leaves_the_connection_usable(database: Database) -> None:
    with pytest.raises(OutsideError), database.read():
        fail(OutsideError)

    assert count(database) == 0


def test_error_in_a_write_lets_the_next_one_in(database: Database) -> None:
    with pytest.raises(OutsideError), database.write():
        raise OutsideError

    with database.write() as tx:
        insert(tx, "a")

    assert count(database) == 1


def test_broken_constraint_undoes_the_write(database: Database) -> None:
    with pytest.raises(ConstraintError):
        insert_and(database, lambda tx: insert(tx, "a"))

    assert count(database) == 0


def test_broken_constraint_among_many_undoes_the_write(database: Database) -> None:
    with pytest.raises(ConstraintError), database.write() as tx:
        tx.many(INSERT, [("a", "me", 0.0), ("b", "me", 0.0), ("a", "me", 0.0)])

    assert count(database) == 0


def test_broken_constraint_that_is_caught_undoes_the_write(database: Database) -> None:
    def insert_again(tx: Transaction) -> None:
        with suppress(ConstraintError):
            insert(tx, "a")

    with pytest.raises(ConstraintError):
        insert_and(database, insert_again)

    assert count(database) == 0


def test_broken_statement_undoes_the_write(database: Database) -> None:
    with pytest.raises(Exception, match="nonsense"):
        insert_and(database, lambda tx: tx.run("nonsense"))

    assert count(database) == 0


def test_writes_of_many_threads_take_turns(
    database: Database, make_database: Callable[[], Database]
) -> None:
    databases = [database, database, make_database(), make_database()]
    barrier = threading.Barrier(len(databases))
    with database.write() as tx:
        insert(tx, "a")

    def add(at: Database) -> None:
        barrier.wait()
        for _ in range(25):
            with at.write() as tx:
                value = (tx.one("SELECT expires_at FROM leases FOR UPDATE") or (0.0,))[0]
                tx.run("UPDATE leases SET expires_at = ?", value + 1)

    with ThreadPoolExecutor(len(databases)) as threads:
        list(threads.map(add, databases))

    assert total(database) == 100


def test_reads_of_many_threads_see_whole_writes(database: Database) -> None:
    with database.write() as tx:
        tx.many(INSERT, [("a", "me", 0.0), ("b", "me", 0.0)])
    is_over = threading.Event()

    def watch(_: int) -> set[float]:
        seen = {total(database)}
        while not is_over.is_set():
            seen.add(total(database))
        return seen

    with ThreadPoolExecutor(3) as threads:
        watchers = [threads.submit(watch, number) for number in range(3)]
        for _ in range(50):
            with database.write() as tx:
                tx.run(ADD + " WHERE name = 'a'")
                tx.run(ADD + " WHERE name = 'b'")
        is_over.set()

    sums = set().union(*(watcher.result() for watcher in watchers))
    assert {value % 2 for value in sums} == {0}
