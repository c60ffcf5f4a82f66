"""What only PostgreSQL can be asked: its connections, its absence, its sessions' settings."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ecrate.domain.errors import StorageFull, StoreUnavailable
from ecrate.store.database import Database, Transaction, UnusableError
from ecrate.store.engines import find_schema, preparing, shown
from ecrate.store.postgres import PostgresDatabase, connect
from tests.support.postgres import Postgres, running_postgres
from tests.support.postgres_proxy import running_proxy

pytestmark = pytest.mark.postgres

INSERT = "INSERT INTO leases (name, holder, expires_at) VALUES (?, 'me', 0)"
COUNT = "SELECT count(*) FROM leases"
LOCK = "SELECT 1 FROM leases WHERE name = ? FOR UPDATE"


@pytest.fixture
def engine() -> str:
    """Of the engines this one."""
    return "postgres"


@pytest.fixture
def opens(database_url: str) -> Iterator[Callable[..., PostgresDatabase]]:
    """Open the database as one process has it."""
    opened: list[PostgresDatabase] = []

    def make(
        url: str = database_url, *, connections: int = 2, patience: float = 0.2
    ) -> PostgresDatabase:
        opened.append(PostgresDatabase(url, connections=connections, patience=patience))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def count(database: Database) -> int:
    with database.look() as tx:
        return int((tx.one(COUNT) or (0,))[0])


def insert(database: Database, name: str) -> None:
    with database.write() as tx:
        tx.run(INSERT, name)


def end_others(url: str) -> int:
    """Have the server end all sessions of a database but this one."""
    with psycopg.connect(url) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(ended.fetchall())


def test_connection_that_the_server_closed_is_not_used_again(
    opens: Callable[..., PostgresDatabase], database_url: str
) -> None:
    database = opens()
    insert(database, "a")
    ended = end_others(database_url)

    insert(database, "b")

    assert ended == 1
    assert count(database) == 2


def test_connection_lost_in_a_write_undoes_it(
    opens: Callable[..., PostgresDatabase], database_url: str
) -> None:
    database = opens()

    def lose(tx: Transaction) -> None:
        tx.run(INSERT, "a")
        end_others(database_url)
        tx.run(INSERT, "b")

    with pytest.raises(StoreUnavailable), database.write() as tx:
        lose(tx)

    assert count(database) == 0


def test_connections_are_no_more_than_allowed(opens: Callable[..., PostgresDatabase]) -> None:
    database = opens(connections=2)

    with database.read(), database.write(), pytest.raises(StoreUnavailable):
        count(database)

    assert count(database) == 0


def test_request_waits_for_a_connection_that_comes_free(
    opens: Callable[..., PostgresDatabase],
) -> None:
    database = opens(connections=1, patience=10)
    is_open = threading.Event()

    def hold() -> None:
        with database.read():
            is_open.set()
            time.sleep(0.05)

    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(hold)
        is_open.wait()
        counted = count(database)
        holder.result()

    assert counted == 0


def test_commit_whose_answer_is_lost_counts_as_failed(
    opens: Callable[..., PostgresDatabase], postgres: Postgres, database_url: str
) -> None:
    with running_proxy(postgres.socket) as proxy:
        database = opens(proxy.url(database_url))
        proxy.loses_commits = True

        with pytest.raises(StoreUnavailable):
            insert(database, "a")

        assert proxy.lost == 1
    assert count(opens()) == 1


def test_writes_that_wait_for_each_other_are_not_stuck(
    opens: Callable[..., PostgresDatabase],
) -> None:
    database = opens(patience=10)
    insert(database, "a")
    insert(database, "b")
    barrier = threading.Barrier(2)

    def lock(first: str, second: str) -> str:
        try:
            with database.write() as tx:
                tx.one(LOCK, first)
                barrier.wait()
                tx.one(LOCK, second)
        except StoreUnavailable:
            return "refused"
        return "done"

    with ThreadPoolExecutor(2) as threads:
        results = sorted(threads.map(lock, "ab", "ba"))

    assert results == ["done", "refused"]


def test_full_disk_is_told(opens: Callable[..., PostgresDatabase]) -> None:
    full = "DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$"

    with pytest.raises(StorageFull), opens().write() as tx:
        tx.run(full)


def test_database_that_may_not_be_written_counts_as_away(
    opens: Callable[..., PostgresDatabase],
) -> None:
    def write_as_on_a_standby(tx: Transaction) -> None:
        tx.run("SET TRANSACTION READ ONLY")
        tx.run(INSERT, "a")

    with pytest.raises(StoreUnavailable), opens().write() as tx:
        write_as_on_a_standby(tx)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("synchronous_commit", "on", id="durable"),
        pytest.param("idle_in_transaction_session_timeout", "15s", id="dead-node"),
        pytest.param("lock_timeout", "10s", id="lock"),
        pytest.param("client_encoding", "UTF8", id="encoding"),
        pytest.param("application_name", "ecrate", id="name"),
    ],
)
def test_session_is_set_up_whatever_is_usual(database_url: str, setting: str, value: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER ROLE ecrate SET synchronous_commit = off")
        with connect(database_url) as ours:
            found = ours.execute(f"SHOW {setting}".encode()).fetchone()
        connection.execute("ALTER ROLE ecrate RESET synchronous_commit")

    assert found == (value,)


def test_url_counts_more_than_what_is_usual_here(database_url: str) -> None:
    with connect(f"{database_url}&application_name=mine&connect_timeout=7") as connection:
        found = connection.info.get_parameters()

    assert (found["application_name"], found["connect_timeout"]) == ("mine", "7")


@pytest.fixture
def lone(database_url: str) -> Iterator[Postgres]:
    """A server that a test may stop."""
    del database_url
    with running_postgres() as running:
        yield running


def test_server_that_is_away_is_waited_for_a_moment(
    lone: Postgres, opens: Callable[..., PostgresDatabase]
) -> None:
    url = lone.url("postgres")
    database, patient = opens(url), opens(url, patience=30)
    with database.write() as tx:
        tx.run("CREATE TABLE leases (name text, holder text, expires_at float8)")
    insert(database, "a")
    lone.stop(signal.SIGQUIT)
    began = threading.Event()

    def wait() -> int:
        began.set()
        return count(patient)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        began.wait()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                count(database)
        lone.start()

        assert waiting.result() == 1
    assert count(database) == 1


def test_database_of_another_encoding_is_refused(postgres: Postgres) -> None:
    options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc"

    with (
        postgres.empty(options) as url,
        pytest.raises(UnusableError, match="its encoding is SQL_ASCII instead of UTF8"),
        preparing(url),
    ):
        pass


def test_server_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(UnusableError) as caught:
        find_schema("postgresql://me:secret@127.0.0.1:1/none")

    assert "Connection refused" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        pytest.param(
            "postgresql://me:se@ret@a:1,b:2/x?password=y", "postgresql://a:1,b:2/x", id="hosts"
        ),
        pytest.param("postgresql:///x?host=/run", "postgresql:///x", id="socket"),
        pytest.param("sqlite:////srv/x.db", "//srv/x.db", id="file"),
    ],
)
def test_shown_url_has_no_password(url: str, text: str) -> None:
    assert shown(url) == text
