"""PostgreSQL: any number of nodes on one database, durable at every commit.

A write is a READ COMMITTED transaction that locks the rows it relies on (`store.database` says
which); why not SERIALIZABLE: docs/adr/0010. Connections are made by the worker that uses them and
kept; while the server is away a request waits a moment for it, and fails then.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, ClassVar, Final

import psycopg
from psycopg import Connection, RawCursor, conninfo, errors
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from typing_extensions import override

from ecrate.domain.errors import StorageFull, StoreUnavailable
from ecrate.store.database import (
    SCHEMA_VERSION,
    ConstraintError,
    Gathering,
    Row,
    Transaction,
    UnusableError,
)
from ecrate.store.schema import Schema, apply_migrations, is_to_migrate

_LOG: Final = logging.getLogger("ecrate")
_PAUSE: Final = 0.1
_LOCK: Final = " FOR UPDATE"
# The advisory lock of whoever prepares a database: "ecrate" in ASCII.
_PREPARING: Final = 0x656372617465
_PREPARING_WAIT: Final = "120s"
# What the URL does not say. A server that is gone without a word is noticed in some 10 seconds.
_DEFAULTS: Final = {
    "application_name": "ecrate",
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# A node that stops in the middle of a transaction holds its locks no longer than this. What is
# acknowledged is on the server's disk, whatever is usual there. And where going by an index is
# thought to cost much, a page of one repository is read from among the rows of all.
_SESSION: Final = (
    "SELECT set_config('idle_in_transaction_session_timeout', '15s', false), "
    "set_config('lock_timeout', '10s', false), set_config('random_page_cost', '1.1', false), "
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)"
)
# Errors by which the server says that it, or this transaction, is not what we need right now.
_PASSING: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.IdleInTransactionSessionTimeout,
    errors.ReadOnlySqlTransaction,
)


class _TextDumper(StrDumper):
    """PostgreSQL's text has no NUL; nor has anything that the doors let through to be stored.

    What is only looked for may have one, and gets the character next to it instead.
    """

    @override
    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\x01"))


def connect(url: str) -> Connection:
    """Open a connection with the settings that durability and isolation rest on."""
    parameters: dict[str, Any] = {**_DEFAULTS, **conninfo.conninfo_to_dict(url)}
    connection = Connection.connect(
        **parameters, client_encoding="utf8", autocommit=True, cursor_factory=RawCursor
    )
    # One type a parameter, so that a statement is prepared once.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(str, _TextDumper)
    connection.prepared_max = 500
    connection.execute(_SESSION)
    return connection


@contextlib.contextmanager
def unusable_errors() -> Iterator[None]:
    """Turn what PostgreSQL says against a start into one line for the operator."""
    try:
        yield
    except (psycopg.Error, StoreUnavailable) as error:
        cause = error.__cause__ if isinstance(error, StoreUnavailable) else error
        lines = str(cause or error).strip().splitlines()
        raise UnusableError(lines[0] if lines else "no answer") from None


def find_schema(url: str) -> Schema | None:
    """Give the schema's version and the oldest code that may open it, None before the first
    start; raises `UnusableError`.
    """
    with unusable_errors(), connect(url) as connection:
        if connection.execute("SELECT to_regclass('schema_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version, oldest_code FROM schema_version").fetchone()
        return None if row is None else (int(row[0]), int(row[1]))


@contextlib.contextmanager
def preparing(url: str) -> Iterator[None]:
    """Keep all other nodes from preparing the database; raises `UnusableError`."""
    with contextlib.ExitStack() as opened:
        with unusable_errors():
            connection = opened.enter_context(connect(url))
            connection.execute(f"SET lock_timeout = '{_PREPARING_WAIT}'")
            connection.execute(f"SELECT pg_advisory_lock({_PREPARING})")
            (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
        if encoding != "UTF8":
            raise UnusableError(f"its encoding is {encoding} instead of UTF8")
        yield


def migrate(url: str, wanted: int = SCHEMA_VERSION) -> None:
    """Bring the schema up to this or an earlier version; the caller is `preparing`.

    Raises `UnusableError`, or `DataTooNewError` when a newer version wrote the data and excludes
    this one.
    """
    found = find_schema(url)
    if not is_to_migrate(found, wanted):
        return
    # Imported late: they are needed only when there is something to migrate.
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend  # noqa: PLC0415
    from yoyo.connections import DatabaseURI  # noqa: PLC0415
    from yoyo.migrations import default_migration_table  # noqa: PLC0415

    # yoyo's own reading of a URL knows less than libpq's: not two hosts, for one.
    parameters = {**_DEFAULTS, **conninfo.conninfo_to_dict(url)}
    name = parameters.pop("dbname", None)
    place = DatabaseURI("postgresql+psycopg", None, None, None, None, name, parameters)
    with unusable_errors():
        backend = PostgresqlPsycopgBackend(place, default_migration_table)
        try:
            backend.init_database()
            apply_migrations(backend, "postgres", found, wanted)
        finally:
            backend.connection.close()


@functools.lru_cache(maxsize=2048)
def _numbered(sql: str) -> bytes:
    """Give the statement with PostgreSQL's placeholders."""
    first, *rest = sql.split("?")
    return (first + "".join(f"${at}{text}" for at, text in enumerate(rest, 1))).encode()


def _translated(error: psycopg.Error) -> Exception:
    """Give what an error means to the seam; one that means nothing there as it is."""
    if isinstance(error, psycopg.IntegrityError):
        return ConstraintError(str(error))
    if isinstance(error, errors.DiskFull):
        _LOG.error("no space left for the database: %s", error)
        return StorageFull()
    if isinstance(error, _PASSING):
        _LOG.warning("the database did not do as asked: %s", error)
        return StoreUnavailable()
    return error


class PostgresTransaction:
    """Statements on one connection."""

    __slots__ = ("_cursor", "_locks", "broken")

    def __init__(self, connection: Connection, *, locks: bool) -> None:
        self._cursor = connection.cursor()
        self._locks = locks
        self.broken: Exception | None = None

    def one(self, sql: str, *values: object) -> Row | None:
        return self._run(sql, values).fetchone()

    def all(self, sql: str, *values: object) -> list[Row]:
        return self._run(sql, values).fetchall()

    def run(self, sql: str, *values: object) -> int:
        return self._run(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        try:
            self._cursor.executemany(_numbered(sql), rows)
        except psycopg.Error as error:
            self.broken = _translated(error)
            raise self.broken from error

    def _run(self, sql: str, values: tuple[Any, ...]) -> psycopg.Cursor[Row]:
        if not self._locks:
            sql = sql.removesuffix(_LOCK)
        try:
            return self._cursor.execute(_numbered(sql), values)
        except psycopg.Error as error:
            self.broken = _translated(error)
            raise self.broken from error

    def command(self, sql: bytes) -> str:
        """Run one of BEGIN, COMMIT, ROLLBACK, and give what it came to."""
        try:
            return self._cursor.execute(sql, prepare=False).statusmessage or ""
        except psycopg.Error as error:
            raise _translated(error) from error


class PostgresDatabase:
    """The connections of this process: as many at once as it may have, kept when they are idle."""

    is_local = False
    gathering: Gathering | None = None  # it has a group commit of its own

    def __init__(self, url: str, *, connections: int, patience: float = 5.0) -> None:
        """With `patience`, the seconds for which a request waits for a connection."""
        self._url = url
        self._patience = patience
        self._idle: deque[Connection] = deque()
        self._slots = threading.BoundedSemaphore(connections)
        self._away_since: float | None = None
        self._trying = threading.Lock()

    def read(self) -> _Read:
        return _Read(self)

    def look(self) -> _Look:
        return _Look(self)

    def write(self) -> _Write:
        return _Write(self)

    def borrow(self) -> Connection:
        """Take a connection that works, as far as is known here; `give_back` returns it.

        Raises `StoreUnavailable` after a while; at once where the server has been away for longer
        than that, but for one request at a time that tries it again.
        """
        if not self._slots.acquire(timeout=self._patience):
            raise StoreUnavailable
        try:
            return self._idle_one() or self._new_one()
        except BaseException:
            self._slots.release()
            raise

    def _idle_one(self) -> Connection | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            # Nobody was asked anything, so what can be read is a farewell.
            poll = select.poll()
            poll.register(connection.fileno(), select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()
        return None

    def _new_one(self) -> Connection:
        while True:
            is_last_try = self._is_long_away()
            if is_last_try and not self._trying.acquire(blocking=False):
                raise StoreUnavailable
            try:
                connection = connect(self._url)
            except psycopg.OperationalError as error:
                self._note_absence(error)
                if is_last_try:
                    raise StoreUnavailable from error
            else:
                self._away_since = None
                return connection
            finally:
                if is_last_try:
                    self._trying.release()
            time.sleep(_PAUSE)

    def _is_long_away(self) -> bool:
        since = self._away_since
        return since is not None and time.monotonic() - since > self._patience

    def _note_absence(self, error: psycopg.Error) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            _LOG.error("the database cannot be reached: %s", error)

    def give_back(self, connection: Connection) -> None:
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        self._slots.release()

    def check_may_wait(self) -> None:
        """There is no gathering."""

    def find_sequence(self, tx: Transaction, table: str) -> int:
        row = tx.one(
            "SELECT last_value FROM pg_sequences "
            "WHERE schemaname || '.' || sequencename = pg_get_serial_sequence(?, 'id')",
            table,
        )
        return int(row[0]) if row and row[0] is not None else 0

    def set_sequence(self, tx: Transaction, table: str, value: int) -> None:
        if value:
            tx.one("SELECT setval(pg_get_serial_sequence(?, 'id')::regclass, ?)", table, value)

    def find_problems(self) -> list[str]:
        """The server looks after its own files: with checksums, `pg_amcheck` and its log."""
        return []

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class _Borrowed:
    """A connection borrowed for a block."""

    __slots__ = ("_connection", "_database", "_transaction")
    begin: ClassVar[bytes] = b""
    locks: ClassVar[bool] = False

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    def __enter__(self) -> PostgresTransaction:
        self._connection = self._database.borrow()
        self._transaction = PostgresTransaction(self._connection, locks=self.locks)
        try:
            if self.begin:
                self._transaction.command(self.begin)
        except BaseException:
            self._database.give_back(self._connection)
            raise
        return self._transaction

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end(is_good=kind is None)
        finally:
            self._database.give_back(self._connection)

    def _end(self, *, is_good: bool) -> None:
        """End the transaction, if there is one."""

    def _roll_back(self) -> None:
        # A connection that cannot even do this is not used again.
        with contextlib.suppress(StoreUnavailable):
            self._transaction.command(b"ROLLBACK")


class _Look(_Borrowed):
    __slots__ = ()


class _Read(_Borrowed):
    __slots__ = ()
    begin = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    @override
    def _end(self, *, is_good: bool) -> None:
        self._roll_back()


class _Write(_Borrowed):
    __slots__ = ()
    begin = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    locks = True

    @override
    def _end(self, *, is_good: bool) -> None:
        if not is_good:
            self._roll_back()
        elif self._transaction.command(b"COMMIT") != "COMMIT":
            # An error in there was caught, and everything is undone.
            raise self._transaction.broken or StoreUnavailable
