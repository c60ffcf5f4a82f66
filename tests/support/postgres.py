"""A PostgreSQL server of the tests' own, from Debian's package, and databases on it."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import pytest

from ecrate.store.engines import preparing
from tests.support.clients import find_program, miss

# For `pytest.mark.parametrize("engine", ...)`.
ENGINES: Final = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))
_USER: Final = "ecrate"
_NUMBERS: Final = itertools.count(1)
# Nothing has to outlive the machine; and another order than of bytes is the databases' default.
_INITDB: Final = (
    *("--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--no-sync"),
    *("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"),
)
_SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "deadlock_timeout": "200ms",
    "max_connections": "100",
}


@dataclass
class Postgres:
    """A server that listens on a socket in its folder only."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    _wiped: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def url(self, name: str) -> str:
        return f"postgresql://{_USER}@/{name}?host={quote(str(self.folder), safe='')}"

    def connect(self, name: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url(name), autocommit=True)

    def start(self) -> None:
        """Start, and return once connections are accepted."""
        settings = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
        folders = ["-D", str(self.data), "-k", str(self.folder)]
        command = [*_as_nobody(), _program("postgres"), *folders, *settings]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                self.connect().close()
                return
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End the server; SIGINT is its fast shutdown, SIGQUIT as good as a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def create(self, options: str = "") -> str:
        """Make a database that is as empty as can be, and give its name."""
        name = f"ecrate_{next(_NUMBERS)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}".encode())
        return name

    @contextlib.contextmanager
    def empty(self, options: str = "") -> Iterator[str]:
        """Give the URL of a database without a schema for a block."""
        name = self.create(options)
        yield self.url(name)
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    @contextlib.contextmanager
    def prepared(self) -> Iterator[str]:
        """Give the URL of a database with its schema and no rows for a block.

        It may have served another test: making one takes a hundred times longer than wiping.
        """
        if self._wiped:
            name = self._wiped.pop()
        else:
            name = self.create()
            with preparing(self.url(name)):
                pass
        yield self.url(name)
        with self.connect(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            wipe(connection)
            sequences = connection.execute(
                "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"
            )
            for (sequence,) in sequences.fetchall():
                connection.execute(f"ALTER SEQUENCE {sequence} RESTART".encode())
        self._wiped.append(name)


def wipe(connection: psycopg.Connection) -> None:
    """Delete all rows of a database, but those that tell of its schema."""
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
        "AND tablename <> 'schema_version' AND tablename NOT LIKE '%yoyo%'"
    )
    statements = [
        # References need not be followed where everything goes.
        "SET session_replication_role = replica",
        *(f"DELETE FROM {table}" for (table,) in tables.fetchall()),  # noqa: S608 - as they are named
    ]
    connection.execute("; ".join(statements).encode())


def _program(name: str) -> str:
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    return find_program(name) if newest is None else str(newest)


def _as_nobody() -> list[str]:
    """Give what a command begins with that root may not run; it ends when this process does."""
    words = [find_program("setpriv"), "--pdeathsig=QUIT"]
    if os.geteuid() == 0:
        words += [f"--reuid={_owner()}", "--clear-groups"]
    return words


def _owner() -> str:
    """Give the user whom the server runs as where this is root."""
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server for a block."""
    initdb = _program("initdb")
    folder = Path(tempfile.mkdtemp(prefix="ecrate-postgres-"))
    server = Postgres(folder)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _owner())
        command = [*_as_nobody(), initdb, "-D", str(server.data), *_INITDB]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            miss(f"a PostgreSQL cluster cannot be made: {made.stderr}")
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
