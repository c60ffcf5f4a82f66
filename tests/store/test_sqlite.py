"""What only SQLite can be asked: other processes, the schema's versions, and its pragmas."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ecrate.store.database import (
    SCHEMA_VERSION,
    ConstraintError,
    Database,
    MustWaitError,
    Transaction,
)
from ecrate.store.sqlite import SqliteDatabase, connect, migrate
from tests.support.registry import wait_until

WRITER = """
import sys
from pathlib import Path
from ecrate.store.sqlite import SqliteDatabase
database = SqliteDatabase(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    with database.write() as tx:
        value = tx.one("SELECT expires_at FROM leases")[0]
        tx.run("UPDATE leases SET expires_at = ?", value + 1)
"""
HOLDER = """
import sys
from pathlib import Path
from ecrate.store.sqlite import SqliteDatabase
database = SqliteDatabase(Path(sys.argv[1]))
with database.write() as tx:
    tx.run("UPDATE leases SET expires_at = 1")
with database.write() as tx:
    tx.run("UPDATE leases SET expires_at = 2")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "ecrate.db"


@pytest.fixture
def database(path: Path) -> Iterator[SqliteDatabase]:
    """A database with one row that counts."""
    migrate(path)
    made = SqliteDatabase(path)
    with made.write() as tx:
        tx.run("INSERT INTO leases (name, holder, expires_at) VALUES ('a', 'me', 0)")
    yield made
    made.close()


def value(database: Database) -> float:
    with database.read() as tx:
        return float((tx.one("SELECT expires_at FROM leases") or (-1.0,))[0])


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%yoyo%' ORDER BY name"
        return connection.execute(query).fetchall()


def told(database: SqliteDatabase) -> list[str]:
    """Give the list to which the statements of writes are added from now on."""
    statements: list[str] = []
    database.begin_write().set_trace_callback(statements.append)
    database.end_write(None)
    statements.clear()
    return statements


class Crowd:
    """Writers in threads that all wait while a first one is in its block."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._pool = ThreadPoolExecutor(8)

    def run(self, blocks: Sequence[Callable[[Transaction], object]]) -> list[Future[None]]:
        """Write each block, the later ones begun while the first is at work; wait for all."""
        entered, leave = threading.Event(), threading.Event()

        def first(tx: Transaction) -> None:
            entered.set()
            assert leave.wait(timeout=30)
            blocks[0](tx)

        with self._pool as pool:
            writes = [pool.submit(write, self._database, first)]
            assert entered.wait(timeout=30)
            writes += [pool.submit(write, self._database, block) for block in blocks[1:]]
            wait_until(lambda: self._database.waiting == len(blocks) - 1)
            leave.set()
        return writes


def add(number: float) -> Callable[[Transaction], object]:
    return lambda tx: tx.run("UPDATE leases SET expires_at = expires_at + ?", number)


def fail(tx: Transaction) -> None:
    add(1000)(tx)
    raise ValueError("of its own")


def repeat(tx: Transaction) -> None:
    add(100)(tx)
    tx.run("INSERT INTO leases (name, holder, expires_at) VALUES ('a', 'you', 0)")


def write(database: Database, block: Callable[[Transaction], object]) -> None:
    with database.write() as tx:
        block(tx)


def orphan(tx: Transaction) -> None:
    """Write what the commit is going to refuse."""
    tx.run("PRAGMA defer_foreign_keys = ON")
    tx.run("INSERT INTO unlinked_blobs (blob_id) VALUES (77)")


def test_writes_that_wait_for_one_another_share_a_commit(database: SqliteDatabase) -> None:
    statements = told(database)

    writes = Crowd(database).run([add(1), add(2), add(4), add(8)])

    assert [write.exception() for write in writes] == [None] * 4
    assert value(database) == 15
    assert statements.count("COMMIT") == 1


@pytest.mark.parametrize("place", [0, 1, 3], ids=["first", "within", "last"])
def test_write_that_fails_takes_back_its_own_alone(database: SqliteDatabase, place: int) -> None:
    blocks = [add(1), add(2), add(4)]
    blocks.insert(place, fail)

    writes = Crowd(database).run(blocks)

    assert [type(write.exception()) for write in writes].index(ValueError) == place
    assert [write.exception() for write in writes].count(None) == 3
    assert value(database) == 7


def test_commit_that_fails_fails_all_that_share_it(database: SqliteDatabase) -> None:
    writes = Crowd(database).run([add(1), orphan, add(2)])

    assert [type(write.exception()) for write in writes] == [sqlite3.OperationalError] * 3
    assert value(database) == 0
    with database.write() as tx:
        add(5)(tx)
    assert value(database) == 5


def test_transaction_that_sqlite_gave_up_fails_all_that_share_it(
    database: SqliteDatabase,
) -> None:
    writes = Crowd(database).run([add(1), lambda tx: tx.run("ROLLBACK"), add(2)])

    # Whether the third came before the second or after it, nobody can say.
    failed = [write.exception() is not None for write in writes]
    assert failed[:2] == [True, True]
    assert value(database) == (0 if failed[2] else 2)


def test_gathering_makes_writes_durable_together(database: SqliteDatabase) -> None:
    statements, gathering = told(database), database.gathering

    assert gathering.try_begin()
    for number in (1, 2, 4):
        gathering.run(write, database, add(number))
    before = value(database)
    gathering.commit()

    assert (before, value(database)) == (0, 7)
    assert statements.count("COMMIT") == 1


def test_gathering_takes_back_what_failed_alone(database: SqliteDatabase) -> None:
    gathering = database.gathering
    gathering.begin()

    gathering.run(write, database, add(1))
    with pytest.raises(ValueError, match="of its own"):
        gathering.run(write, database, fail)
    with pytest.raises(ConstraintError):
        gathering.run(write, database, repeat)
    gathering.run(write, database, add(2))
    gathering.commit()

    assert value(database) == 3


def test_gathering_raises_a_broken_constraint_again_at_the_end_of_the_block(
    database: SqliteDatabase,
) -> None:
    def hide(tx: Transaction) -> None:
        with suppress(ConstraintError):
            repeat(tx)

    gathering = database.gathering
    gathering.begin()
    with pytest.raises(ConstraintError):
        gathering.run(write, database, hide)
    gathering.commit()

    assert value(database) == 0


def test_gathering_whose_commit_fails_leaves_nothing(database: SqliteDatabase) -> None:
    gathering = database.gathering
    gathering.begin()
    gathering.run(write, database, add(1))
    gathering.run(write, database, orphan)

    with pytest.raises(sqlite3.OperationalError):
        gathering.commit()

    assert value(database) == 0
    write(database, add(5))
    assert value(database) == 5


def test_gathering_that_sqlite_gave_up_is_lost_as_a_whole(database: SqliteDatabase) -> None:
    gathering = database.gathering
    gathering.begin()
    gathering.run(write, database, add(1))
    gathering.run(write, database, lambda tx: tx.run("ROLLBACK"))
    with pytest.raises(sqlite3.OperationalError):
        gathering.run(write, database, add(2))

    with pytest.raises(sqlite3.OperationalError):
        gathering.commit()

    assert value(database) == 0


def test_gathering_does_not_wait_for_another_thread(database: SqliteDatabase) -> None:
    database.begin_write()
    while_another_writes = database.gathering.try_begin()
    database.end_write(None)

    assert not while_another_writes
    assert database.gathering.try_begin()
    database.gathering.commit()


def test_gathering_does_not_wait_for_another_process(path: Path, database: SqliteDatabase) -> None:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        while_another_writes = database.gathering.try_begin()
        holder.kill()

    database.gathering.begin()
    database.gathering.run(write, database, add(1))
    database.gathering.commit()
    assert not while_another_writes
    assert value(database) == 2


def test_gathering_commits_what_threads_left_to_it(database: SqliteDatabase) -> None:
    gathering = database.gathering

    begun: list[Future[None]] = []
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(write, database, add(1))
        first.result()
        database.begin_write()
        begun.append(pool.submit(gathering.begin))
        wait_until(lambda: database.waiting == 1)
        ended = pool.submit(database.end_write, None)
        begun[0].result()
        gathering.run(write, database, add(2))
        is_early = ended.done()
        gathering.commit()
        ended.result()

    assert not is_early
    assert value(database) == 3


def test_gathering_look_writes_nothing(database: SqliteDatabase) -> None:
    with pytest.raises(MustWaitError):
        database.gathering.look(write, database, add(1))

    assert database.gathering.look(value, database) == 0


def test_writes_of_two_processes_take_turns(path: Path, database: SqliteDatabase) -> None:
    command = [sys.executable, "-c", WRITER, str(path), "100"]

    with subprocess.Popen(command) as first, subprocess.Popen(command) as second:
        codes = (first.wait(), second.wait())

    assert codes == (0, 0)
    assert value(database) == 200


def test_write_of_a_process_that_is_killed_leaves_what_was_committed(
    path: Path, database: SqliteDatabase
) -> None:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        meanwhile = value(database)
        holder.kill()

    with database.write() as tx:
        tx.run("UPDATE leases SET holder = 'next'")

    assert meanwhile == value(database) == 1


@pytest.mark.parametrize(
    ("pragma", "setting"),
    [
        pytest.param("journal_mode", "wal", id="journal"),
        pytest.param("synchronous", 2, id="durable"),
        pytest.param("foreign_keys", 1, id="references"),
    ],
)
def test_connection_is_set_up_for_what_it_promises(
    path: Path, pragma: str, setting: object
) -> None:
    with closing(connect(path)) as connection:
        row = connection.execute(f"PRAGMA {pragma}").fetchone()

    assert row == (setting,)


@pytest.mark.parametrize("make", [lambda _: None, Path.touch], ids=["nothing", "empty-file"])
def test_migrate_makes_the_schema_from_nothing(path: Path, make: Callable[[Path], None]) -> None:
    make(path)

    migrate(path)

    names = {name for name, _ in schema(path)}
    assert {"repositories", "images", "layers", "blobs", "uploads", "garbage"} <= names
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT version, oldest_code FROM schema_version").fetchall()
    assert [version for version, _ in found] == [SCHEMA_VERSION]
    assert found[0][1] <= SCHEMA_VERSION
