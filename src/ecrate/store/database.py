"""The seam between operations and an SQL engine.

Statements use `?` placeholders and the SQL that SQLite and PostgreSQL share; what differs stands
in the engine's own module.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

SCHEMA_VERSION = 3

Row = tuple[Any, ...]


class ConstraintError(Exception):
    """A uniqueness, check or reference constraint refused a write; the transaction is over."""


class DataTooNewError(Exception):
    """The data was written by a newer version, which this one must not touch."""


class SchemaError(Exception):
    """The data is not of a schema that this version works with; `str()` is one line."""


class Transaction(Protocol):
    """Statements that take effect together or not at all."""

    def one(self, sql: str, *values: object) -> Row | None:
        """Run a statement and give its first row."""

    def all(self, sql: str, *values: object) -> list[Row]:
        """Run a statement and give all its rows."""

    def run(self, sql: str, *values: object) -> int:
        """Run a statement and give the number of rows it changed."""

    def many(self, sql: str, rows: Iterable[Row]) -> None:
        """Run one statement for each of `rows`."""


class Database(Protocol):
    """Where rows live. `is_local`: a read costs microseconds and never waits for another."""

    is_local: bool

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that sees one snapshot and changes nothing."""

    def look(self) -> AbstractContextManager[Transaction]:
        """Open what costs less than `read`: each statement sees a snapshot of its own."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that is durable when the block ends; an exception undoes it.

        Raises `ConstraintError` out of the statement that broke a constraint, and `StorageFull`
        at the block's end when there was no room for what it wrote.
        """

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
