"""The seam between operations and an SQL engine.

Statements use `?` placeholders and the SQL that SQLite and PostgreSQL share; what differs stands
in the engine's own module.

A write relies on what it has looked at only where it holds the lock of the row above it: a SELECT
that ends in `FOR UPDATE` waits in a write until no other write holds its rows, gives them as they
are then, and keeps them to the end. (SQLite's writers take turns anyway, and a read locks
nothing: there the words do not count.) The locks, and the order in which one write takes them, so
that no two wait for each other:

    repositories, by id    all that belongs to the repository: images, tags, layers, policies
    registries             counts and lists of what belongs to the registry
    uploads, by id         whether an upload is open
    blobs, by id           whether anything links the blob
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

SCHEMA_VERSION = 13

Row = tuple[Any, ...]
T = TypeVar("T")


class ConstraintError(Exception):
    """A uniqueness, check or reference constraint refused a write; the transaction is over."""


class DataTooNewError(Exception):
    """The data was written by a newer version, which this one must not touch."""


class MustWaitError(Exception):
    """What was to take a moment has come to something that may have to be waited for."""


class UnusableError(Exception):
    """The database cannot be used; its text tells the operator why, in one line."""


class SchemaError(Exception):
    """The data is not of a schema that this version works with; `str()` is one line."""


class Transaction(Protocol):
    """Statements that take effect together or not at all.

    Any of them may raise `StoreUnavailable`, `StorageFull`, and in a write `ConstraintError`.
    """

    def one(self, sql: str, *values: object) -> Row | None:
        """Run a statement and give its first row."""

    def all(self, sql: str, *values: object) -> list[Row]:
        """Run a statement and give all its rows."""

    def run(self, sql: str, *values: object) -> int:
        """Run a statement and give the number of rows it changed."""

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run one statement for each of `rows`."""


class Gathering(Protocol):
    """Writes that one thread does one after the other and that become durable together.

    Between `begin` and `commit` nobody else writes.
    """

    def try_begin(self) -> bool:
        """Begin if that can be done without waiting; tell whether it was."""

    def begin(self) -> None:
        """Wait until it can be done, and begin."""

    def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function whose blocks of `Database.write` end without being durable yet.

        Each is undone by an exception alone, as ever.
        """

    def look(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that may write, but hardly ever does, at any time.

        Raises `MustWaitError` where it comes to that; nothing is written then.
        """

    def commit(self) -> None:
        """Return when all is durable; raises what kept it from being, and then none of it is."""


class Database(Protocol):
    """Where rows live. `is_local`: a read costs microseconds and never waits for another.

    `gathering` is there where a thread saves much by doing many writes at once.
    """

    is_local: bool

    @property
    def gathering(self) -> Gathering | None: ...

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that sees one snapshot and changes nothing."""

    def look(self) -> AbstractContextManager[Transaction]:
        """Open what costs less than `read`: each statement sees a snapshot of its own."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that is durable when the block ends; an exception undoes it.

        Raises `ConstraintError` out of the statement that broke a constraint, and again at the
        block's end where it was caught in there. Where `StoreUnavailable` comes at the block's
        end, whether the transaction took effect is not known.
        """

    def check_may_wait(self) -> None:
        """Raise `MustWaitError` in a function that `gathering` runs."""

    def find_sequence(self, tx: Transaction, table: str) -> int:
        """Give the last identity that one of our tables gave out, 0 before the first."""

    def set_sequence(self, tx: Transaction, table: str, value: int) -> None:
        """Let the table go on behind the identity `value`, in a write."""

    def find_problems(self) -> list[str]:
        """Let the engine look at its own files; give a line for each thing that is wrong."""

    def close(self) -> None:
        """Close all connections."""


def check_schema(database: Database) -> None:
    """Raise `SchemaError` unless this version may work on the data as it is, unmigrated."""
    with database.read() as tx:
        version, oldest_code = tx.one("SELECT version, oldest_code FROM schema_version") or (0, 0)
    if oldest_code > SCHEMA_VERSION:
        raise SchemaError(f"the data was written by a newer ecrate (schema {version})")
    if version < SCHEMA_VERSION:
        raise SchemaError(
            f"the data was written by an older ecrate (schema {version}); start this one's server "
            "once to bring it up to date"
        )
