"""Which engine a database's URL means: `sqlite:///PATH` or `postgresql://...`.

The engines' modules are imported when they are needed: psycopg is an extra.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ecrate.store import sqlite
from ecrate.store.database import SCHEMA_VERSION, Database, UnusableError

if TYPE_CHECKING:
    from ecrate.store.schema import Schema

_SQLITE: Final = "sqlite:///"


def open_database(url: str, *, connections: int) -> Database:
    """Open a prepared database; on a server, with at most so many connections at once.

    Raises `UnusableError`.
    """
    path = _path(url)
    with _unusable_errors():
        if path is not None:
            return sqlite.SqliteDatabase(path)
        from ecrate.store import postgres  # noqa: PLC0415 - see above

        return postgres.PostgresDatabase(url, connections=connections)


@contextlib.contextmanager
def preparing(url: str, wanted: int = SCHEMA_VERSION) -> Iterator[Database]:
    """Bring the schema up to this or an earlier version, and give the database for a block in
    which no other node prepares it. (A file is prepared by the holder of its data directory's
    lock.)

    Raises `UnusableError`, or `DataTooNewError` when a newer version wrote the data and excludes
    this one.
    """
    path = _path(url)
    with contextlib.ExitStack() as opened:
        with _unusable_errors():
            if path is not None:
                sqlite.migrate(path, wanted)
            else:
                from ecrate.store import postgres  # noqa: PLC0415 - see above

                opened.enter_context(postgres.preparing(url))
                postgres.migrate(url, wanted)
        database = open_database(url, connections=1)
        opened.callback(database.close)
        yield database


def find_schema(url: str) -> Schema | None:
    """Give the schema's version and the oldest code that may open it, None before the first
    start; raises `UnusableError`.
    """
    path = _path(url)
    with _unusable_errors():
        if path is not None:
            return sqlite.find_schema(path)
        from ecrate.store import postgres  # noqa: PLC0415 - see above

        return postgres.find_schema(url)


def shown(url: str) -> str:
    """Give what names the database to its operator, without a password."""
    place = urlsplit(url)
    return (
        place.path if _path(url) else f"postgresql://{place.netloc.rpartition('@')[2]}{place.path}"
    )


def _path(url: str) -> Path | None:
    return Path(url.removeprefix("sqlite://")) if url.startswith(_SQLITE) else None


@contextlib.contextmanager
def _unusable_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnusableError(str(error)) from None
    except ImportError as error:
        raise UnusableError(f"{str(error).splitlines()[0]}; install 'ecrate[postgres]'") from None
