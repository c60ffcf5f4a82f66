"""SQLite: one file, write-ahead log, durable at every commit.

Writers take turns on a lock file before BEGIN IMMEDIATE: the kernel wakes the next one at once,
where SQLite's own busy handler sleeps up to 100 ms between tries.

Writers of one process that wait for each other share a commit. Whoever ends its block while
another waits leaves the transaction open to it, and both return once it is committed:

    A: BEGIN, block ---------------. waits ---------------------------. returns
    B:        waits for its turn   SAVEPOINT, block, RELEASE, COMMIT   returns

One that fails takes back its own savepoint only. A thread may also do many writes by itself and
commit once for all of them (`Gathering`): its blocks are such savepoints too.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from ecrate.domain.errors import StorageFull
from ecrate.store.database import SCHEMA_VERSION, ConstraintError, MustWaitError, Row, Transaction
from ecrate.store.schema import Schema, apply_migrations, is_to_migrate

T = TypeVar("T")

_LOG: Final = logging.getLogger("ecrate")
# How many writes share a commit at the most, so that the first of them need not wait for ever.
_SHARED: Final = 64


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection with the settings that durability and isolation rest on."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=30, cached_statements=256
    )
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-1024",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def migrate(path: Path, wanted: int = SCHEMA_VERSION) -> None:
    """Bring the schema up to this or an earlier version; the caller holds the data directory's
    lock.

    Raises `DataTooNewError` when a newer version wrote the data and excludes this one.
    """
    found = find_schema(path)
    if not is_to_migrate(found, wanted):
        return
    from yoyo import get_backend  # noqa: PLC0415 - needed only when there is something to migrate

    backend = get_backend(f"sqlite:///{path}")
    try:
        apply_migrations(backend, "sqlite", found, wanted)
    finally:
        backend.connection.close()
    path.chmod(0o600)


def find_schema(path: Path) -> Schema | None:
    """Give the schema's version and the oldest code that may open it, None where there is none."""
    if not path.exists():
        return None
    connection = connect(path)
    try:
        row = connection.execute("SELECT version, oldest_code FROM schema_version").fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()
    return int(row[0]), int(row[1])


class SqliteTransaction:
    """A transaction on one connection; `broken` is the constraint that ended it."""

    __slots__ = ("_execute", "_executemany", "broken")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self.broken: ConstraintError | None = None

    def one(self, sql: str, *values: object) -> Row | None:
        row: Row | None = self._run(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: object) -> list[Row]:
        return self._run(sql, values).fetchall()

    def run(self, sql: str, *values: object) -> int:
        return self._run(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        try:
            self._executemany(sql, rows)
        except sqlite3.IntegrityError as error:
            self.broken = ConstraintError(str(error))
            raise self.broken from error

    def _run(self, sql: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return self._execute(sql.removesuffix(" FOR UPDATE"), values)
        except sqlite3.IntegrityError as error:
            self.broken = ConstraintError(str(error))
            raise self.broken from error


class SqliteDatabase:
    """A pool of reading connections and one writing connection of this process."""

    is_local = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers: deque[sqlite3.Connection] = deque()
        self._writer = connect(path)
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self.waiting = 0  # writers, for their turn
        self._commit: _Commit | None = None
        self.gathering = _Gathering(self)
        self._lock_file = os.open(
            path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600
        )

    def read(self) -> _Read:
        return _Read(self)

    def look(self) -> _Look:
        return _Look(self)

    def write(self) -> _Write | _Joined:
        return _Joined(self.gathering) if self.gathering.is_here() else _Write(self)

    def borrow(self) -> sqlite3.Connection:
        """Take a reading connection; `give_back` returns it."""
        try:
            return self._readers.pop()
        except IndexError:
            return connect(self._path)

    def give_back(self, connection: sqlite3.Connection) -> None:
        self._readers.append(connection)

    def begin_write(self) -> sqlite3.Connection:
        """Wait for this process's turn among its threads, and then, unless a transaction was left
        open for it, among the processes.
        """
        self._wait_for_turn()
        try:
            if self._commit is None:
                self._begin()
            else:
                self._writer.execute("SAVEPOINT own")
        except BaseException as error:
            self.finish(error)
            raise
        return self._writer

    def begin_many(self, *, waits: bool) -> tuple[sqlite3.Connection, _Commit] | None:
        """Begin as `begin_write` does, or where it would have to wait, and may not, not at all."""
        if waits:
            self._wait_for_turn()
        elif self.waiting or not self._turn.acquire(blocking=False):
            return None
        try:
            if self._commit is None:
                self._begin(0 if waits else fcntl.LOCK_NB)
        except BlockingIOError:
            self._turn.release()
            return None
        except BaseException as error:
            self.finish(error)
            raise
        assert self._commit is not None  # noqa: S101 - just begun
        return self._writer, self._commit

    def _wait_for_turn(self) -> None:
        with self._guard:
            self.waiting += 1
        self._turn.acquire()
        with self._guard:
            self.waiting -= 1

    def _begin(self, flags: int = 0) -> None:
        fcntl.flock(self._lock_file, fcntl.LOCK_EX | flags)
        self._writer.execute("BEGIN IMMEDIATE")
        self._commit = _Commit()

    def end_write(self, error: BaseException | None) -> None:
        """Return when what the block wrote is durable, or with an error take it back; either way
        let the next writer in.
        """
        commit = self._commit
        assert commit is not None  # noqa: S101 - begun by this thread
        try:
            if error is None:
                commit.size += 1
            elif commit.size and self._writer.in_transaction:
                self._writer.execute("ROLLBACK TO own")
        except sqlite3.Error as failure:
            error = failure
            self.finish(failure)
            raise
        if not self._writer.in_transaction:
            # After some errors (a full disk, say) SQLite rolls back everything by itself.
            self.finish(error)
        elif self.waiting and 0 < commit.size < _SHARED:
            self._turn.release()
        else:
            self.finish()
        if error is None:
            commit.wait()

    def finish(self, error: BaseException | None = None) -> None:
        """Commit for all who share it; with an error, for none of them."""
        commit, self._commit = self._commit, None
        try:
            if error is None and commit is not None and commit.size:
                self._writer.execute("COMMIT")
        except sqlite3.Error as failure:
            error = failure
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
            self._turn.release()
            if commit is not None:
                commit.end(error)

    def check_may_wait(self) -> None:
        if self.gathering.is_here():
            raise MustWaitError

    def find_sequence(self, tx: Transaction, table: str) -> int:
        row = tx.one("SELECT seq FROM sqlite_sequence WHERE name = ?", table)
        return int(row[0]) if row else 0

    def set_sequence(self, tx: Transaction, table: str, value: int) -> None:
        tx.run("DELETE FROM sqlite_sequence WHERE name = ?", table)
        tx.run("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, value)

    def find_problems(self) -> list[str]:
        connection = self.borrow()
        try:
            rows = connection.execute("PRAGMA integrity_check(100)").fetchall()
        except sqlite3.DatabaseError as error:
            return [str(error)]
        finally:
            self.give_back(connection)
        return [line for (line,) in rows if line != "ok"]

    def close(self) -> None:
        self._writer.close()
        while self._readers:
            self._readers.pop().close()
        os.close(self._lock_file)


class _Commit:
    """What some writes share: `size` of them are done and wait for it."""

    __slots__ = ("_ended", "_failure", "size")

    def __init__(self) -> None:
        self.size = 0
        self._ended = threading.Event()
        self._failure: BaseException | None = None

    def end(self, failure: BaseException | None) -> None:
        self._failure = failure
        self._ended.set()

    def wait(self) -> None:
        """Return when the writes are durable; raises what kept them from it."""
        self._ended.wait()
        _check_room(self._failure)
        if self._failure is not None:
            # Not the same exception in several threads.
            raise sqlite3.OperationalError(str(self._failure)) from self._failure


class _Gathering:
    """The writes of one thread that share a commit, see `store.database.Gathering`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._commit: _Commit | None = None
        self._thread = 0  # that runs a function of it
        self.is_looking = False
        self.writer: sqlite3.Connection
        self.failure: BaseException | None = None

    def try_begin(self) -> bool:
        return self._begin(waits=False)

    def begin(self) -> None:
        self._begin(waits=True)

    def _begin(self, *, waits: bool) -> bool:
        begun = self._database.begin_many(waits=waits)
        if begun is None:
            return False
        self.writer, self._commit = begun
        self.failure = None
        return True

    def run(self, function: Callable[..., T], *arguments: object) -> T:
        self._thread = threading.get_ident()
        try:
            return function(*arguments)
        finally:
            self._thread = 0

    def look(self, function: Callable[..., T], *arguments: object) -> T:
        self.is_looking = True
        try:
            return self.run(function, *arguments)
        finally:
            self.is_looking = False

    def is_here(self) -> bool:
        """Tell whether a function of it runs in this thread."""
        return self._thread == threading.get_ident()

    def count(self) -> None:
        """Note that one more write waits for the commit."""
        assert self._commit is not None  # noqa: S101 - begun
        self._commit.size += 1

    def commit(self) -> None:
        commit, self._commit = self._commit, None
        assert commit is not None  # noqa: S101 - begun
        self._database.finish(self.failure)
        commit.wait()


class _Joined:
    """A write among those of a gathering: a savepoint."""

    __slots__ = ("_gathering", "_transaction")

    def __init__(self, gathering: _Gathering) -> None:
        self._gathering = gathering

    def __enter__(self) -> SqliteTransaction:
        if self._gathering.is_looking:
            raise MustWaitError
        writer = self._gathering.writer
        if not writer.in_transaction:
            _check_room(self._gathering.failure)
            raise sqlite3.OperationalError("the transaction was given up") from (
                self._gathering.failure
            )
        writer.execute("SAVEPOINT own")
        self._transaction = SqliteTransaction(writer)
        return self._transaction

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        writer, broken = self._gathering.writer, self._transaction.broken
        failure = error or broken
        if not writer.in_transaction:
            # After some errors (a full disk, say) SQLite rolls back everything by itself.
            self._gathering.failure = failure or RuntimeError("rolled back")
        elif failure is None:
            writer.execute("RELEASE own")
            self._gathering.count()
        else:
            writer.execute("ROLLBACK TO own")
            writer.execute("RELEASE own")
        _check_room(error)
        if error is None and broken is not None:
            raise broken


class _Read:
    __slots__ = ("_connection", "_database")

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def __enter__(self) -> SqliteTransaction:
        self._connection = self._database.borrow()
        self._connection.execute("BEGIN")
        return SqliteTransaction(self._connection)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.execute("ROLLBACK")
        self._database.give_back(self._connection)


class _Look:
    __slots__ = ("_connection", "_database")

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def __enter__(self) -> SqliteTransaction:
        self._connection = self._database.borrow()
        return SqliteTransaction(self._connection)

    def __exit__(self, *_: object) -> None:
        self._database.give_back(self._connection)


class _Write:
    __slots__ = ("_database", "_transaction")

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    def __enter__(self) -> SqliteTransaction:
        self._transaction = SqliteTransaction(self._database.begin_write())
        return self._transaction

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        broken = self._transaction.broken
        try:
            self._database.end_write(error or broken)
        finally:
            _check_room(error)
        if error is None and broken is not None:
            raise broken


def _check_room(error: BaseException | None) -> None:
    is_full = isinstance(error, sqlite3.OperationalError) and (
        error.sqlite_errorcode == sqlite3.SQLITE_FULL
    )
    if is_full:
        _LOG.error("no space left for the database: %s", error)
        raise StorageFull from error
