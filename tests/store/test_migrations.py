"""The schema: the same in both engines, made by many nodes at once, and from every release's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from ecrate.store.database import SCHEMA_VERSION, DataTooNewError
from ecrate.store.engines import find_schema, preparing
from tests.support.postgres import ENGINES, Postgres
from tests.support.schemas import Schema, schema_of

# The dump of a database as a release made it, with a row in the tables that matter, named
# ENGINE-VERSION; a release that changes the schema adds one.
RELEASED = sorted((Path(__file__).parent / "released").glob("*.sql"))


@pytest.fixture(scope="module")
def schemas(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Schema, Schema]]:
    """The schemas of the two engines."""
    path = tmp_path_factory.mktemp("schema") / "ecrate.db"
    with preparing(f"sqlite://{path}"), postgres.prepared() as url:
        yield schema_of(f"sqlite://{path}"), schema_of(url)


@pytest.mark.postgres
@pytest.mark.parametrize("part", ["columns", "unique", "references", "indexes"])
def test_engines_have_the_same_schema(schemas: tuple[Schema, Schema], part: str) -> None:
    sqlite, postgres = (getattr(schema, part) for schema in schemas)

    assert sqlite == postgres
    assert len(sqlite) > 20


@pytest.mark.postgres
def test_references_have_indexes(schemas: tuple[Schema, Schema]) -> None:
    indexes = schemas[0].indexes

    missing = [
        reference
        for reference in schemas[0].references
        if not any(one[: len(reference) - 2] == reference[:-2] for one in indexes)
    ]

    assert missing == []


@pytest.mark.postgres
def test_texts_are_compared_by_their_bytes(postgres: Postgres) -> None:
    with postgres.prepared() as url, psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'text'"
        ).fetchall()

    assert [row for row in rows if row[2] != "C"] == []
    assert len(rows) > 50


@pytest.fixture
def empty_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that nobody has prepared."""
    if engine == "sqlite":
        yield f"sqlite://{tmp_path / 'ecrate.db'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.empty() as url:
            yield url


def execute(url: str, script: str) -> None:
    """Run statements on a database that may have no schema yet."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as connection:
            connection.executescript(script)
    else:
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(script.encode())


def test_there_is_no_schema_before_the_first_start(empty_url: str) -> None:
    assert find_schema(empty_url) is None


def test_preparing_makes_the_schema(empty_url: str) -> None:
    with preparing(empty_url) as database, database.read() as tx:
        found = tx.all("SELECT version FROM schema_version")

    assert found == [(SCHEMA_VERSION,)]
    assert (find_schema(empty_url) or (0,))[0] == SCHEMA_VERSION


def test_preparing_again_changes_nothing(empty_url: str) -> None:
    with preparing(empty_url) as database, database.write() as tx:
        tx.run("INSERT INTO leases (name, holder, expires_at) VALUES ('a', 'me', 0)")
    before = schema_of(empty_url)

    with preparing(empty_url) as database, database.read() as tx:
        kept = tx.all("SELECT name FROM leases")

    assert schema_of(empty_url) == before
    assert kept == [("a",)]


def test_preparing_goes_on_after_a_start_that_was_killed(empty_url: str) -> None:
    with preparing(empty_url):
        pass
    execute(
        empty_url,
        # All up to 0003 was applied, and not all of that was noted.
        "DELETE FROM _yoyo_migration WHERE migration_id <> '0001_first'; "
        "INSERT INTO yoyo_lock (locked, pid) VALUES (1, 1); "
        "UPDATE schema_version SET version = 3; DROP TABLE secret; "
        "ALTER TABLE blobs DROP COLUMN lost_at; "
        "DROP TABLE pull_through_rules; DROP TABLE upstream_subjects; "
        "DROP TABLE upstream_imports; DROP TABLE upstream_claims; "
        "ALTER TABLE tags DROP COLUMN checked_at; ALTER TABLE tags DROP COLUMN etag; "
        "DROP TABLE outbox; DROP TABLE events; DROP TABLE event_readers; "
        "DROP TABLE advisory_packages; DROP TABLE advisories; DROP TABLE advisory_feed; "
        "DROP TABLE scan_results; DROP TABLE scans; DROP TABLE scanning_configurations; "
        "DROP TABLE signing_configurations; DROP TABLE image_signings; DROP TABLE pull_gates; "
        "ALTER TABLE repositories DROP COLUMN has_gate; DROP TABLE applied_bundles; "
        "DROP TABLE tasks; DROP TABLE lanes; DROP TABLE dead_deliveries; DROP TABLE webhooks; "
        "DROP TABLE backfill_results; DROP TABLE backfills; DROP TABLE replications; "
        "DROP TABLE replication_rules; DROP TABLE console_sessions; DROP TABLE console_attempts; ",
    )

    with preparing(empty_url):
        pass

    assert (find_schema(empty_url) or (0,))[0] == SCHEMA_VERSION


def test_preparing_refuses_data_that_excludes_this_version(empty_url: str) -> None:
    with preparing(empty_url):
        pass
    execute(empty_url, "UPDATE schema_version SET version = 98, oldest_code = 97")

    with pytest.raises(DataTooNewError, match="98"), preparing(empty_url):
        pass


def test_preparing_accepts_newer_data_that_includes_this_version(empty_url: str) -> None:
    with preparing(empty_url):
        pass
    execute(empty_url, "UPDATE schema_version SET version = 98")
    before = schema_of(empty_url)

    with preparing(empty_url):
        pass

    assert schema_of(empty_url) == before


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_nodes_that_start_at_once_take_turns(empty_url: str) -> None:
    inside: list[int] = []

    def prepare(number: int) -> int:
        with preparing(empty_url) as database, database.write() as tx:
            inside.append(number)
            before = len(inside)
            rows = tx.all("SELECT name FROM leases")
            tx.run("INSERT INTO leases (name, holder, expires_at) VALUES (?, 'me', 0)", str(number))
            assert len(inside) == before
        return len(rows)

    with ThreadPoolExecutor(4) as threads:
        seen = sorted(threads.map(prepare, range(4)))

    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("dump", RELEASED, ids=lambda path: path.stem)
def test_data_of_a_release_is_brought_up(
    dump: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    engine, _, version = dump.stem.partition("-")
    with _place(engine, tmp_path, request) as url:
        execute(url, dump.read_text())
        before = (find_schema(url) or (0,))[0]

        with preparing(url) as database, database.read() as tx:
            kept = tx.all(
                "SELECT r.name, t.tag, i.digest FROM repositories r "
                "JOIN tags t ON t.repository_id = r.id JOIN images i ON i.id = t.image_id"
            )

        assert before == int(version)
        assert kept == [("one", "v1", "i1")]
        with _place(engine, tmp_path / "new", request) as fresh, preparing(fresh):
            assert schema_of(url) == schema_of(fresh)


@contextmanager
def _place(engine: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if engine == "sqlite":
        folder.mkdir(exist_ok=True)
        yield f"sqlite://{folder / 'ecrate.db'}"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.empty() as url:
            yield url
