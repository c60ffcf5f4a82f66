"""SQLite: one file, write-ahead log, durable at every commit.

Writers take turns on a lock file before BEGIN IMMEDIATE: the kernel wakes the next one at once,
where SQLite's own busy handler sleeps up to 100 ms between tries.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ecrate.domain.errors import StorageFull
from ecrate.store.database import ConstraintError, Row
from ecrate.store.schema import Schema, apply_migrations, is_to_migrate

_LOG: Final = logging.getLogger("ecrate")


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


def migrate(path: Path) -> None:
    """Bring the schema up to this version; the caller holds the data directory's lock.

    Raises `DataTooNewError` when a newer version wrote the data and excludes this one.
    """
    found = find_schema(path)
    if not is_to_migrate(found):
        return
    from yoyo import get_backend  # noqa: PLC0415 - needed only when there is something to migrate

    backend = get_backend(f"sqlite:///{path}")
    try:
        apply_migrations(backend, "sqlite", found)
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
        self._lock_file = os.open(
            path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600
        )

    def read(self) -> _Read:
        return _Read(self)

    peek = read

    def write(self) -> _Write:
        return _Write(self)

    def borrow(self) -> sqlite3.Connection:
        """Take a reading connection; `give_back` returns it."""
        try:
            return self._readers.pop()
        except IndexError:
            return connect(self._path)

    def give_back(self, connection: sqlite3.Connection) -> None:
        self._readers.append(connection)

    def begin_write(self) -> sqlite3.Connection:
        """Wait for this process's turn among its threads, then among the processes."""
        self._turn.acquire()
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
            self._writer.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._release()
            raise
        return self._writer

    def end_write(self, *, commit: bool) -> None:
        """Commit or roll back, and let the next writer in."""
        try:
            if commit:
                self._writer.execute("COMMIT")
        finally:
            # After a failed commit (a full disk, say) the transaction is still open.
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            self._release()

    def _release(self) -> None:
        fcntl.flock(self._lock_file, fcntl.LOCK_UN)
        self._turn.release()

    def close(self) -> None:
        self._writer.close()
        while self._readers:
            self._readers.pop().close()
        os.close(self._lock_file)


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
            self._database.end_write(commit=kind is None and broken is None)
        except sqlite3.OperationalError as failure:
            if not _is_full(failure):
                raise
            error = failure
        if _is_full(error):
            _LOG.error("no space left for the database: %s", error)
            raise StorageFull from error
        if kind is None and broken is not None:
            raise broken


def _is_full(error: BaseException | None) -> bool:
    return (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode == sqlite3.SQLITE_FULL
    )
