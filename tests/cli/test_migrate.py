"""`ecrate migrate`: between any two pairs of stores, killed, and again to the end."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.store import S3Blobs
from ecrate.domain.names import Digest
from ecrate.store import dump
from ecrate.store.database import Transaction
from tests.cli.conftest import Run
from tests.cli.test_backup import files_in, pulled, run_until, whole
from tests.support.checking import check
from tests.support.core import Bench
from tests.support.images import make_image
from tests.support.postgres import Postgres
from tests.support.pushing import make_index, push_image
from tests.support.s3 import url_of
from tests.support.seaweed import KEY, S3Server
from tests.support.server import running_server
from tests.support.trash import delete


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """SQLite and files, with rows in most tables."""
    data = tmp_path / "data"
    data.mkdir()
    made = Bench(data)
    for number in range(4):
        one = made.create(f"repository-{number}", resource_tags=(("a", "b"),))
        image = make_image(30_000, 30_000)
        made.push(one, image, "v1", "v2")
        made.put(one, make_index(image), ["all"])
        deleted = make_image(10)
        made.push(one, deleted)
        delete(made, one, Digest(deleted.digest))
        made.begin(one, b"begun")
    with made.writing() as tx:
        tx.run("INSERT INTO installation (id) VALUES ('0f0f0f0f')")
        tx.run("DELETE FROM repositories WHERE id = 99")
        made.database.set_sequence(tx, "repositories", 99)
    yield made
    made.close()


@pytest.fixture
def place(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Address:
    """An empty place in an S3 store, whose key is among the settings."""
    monkeypatch.setenv("ECRATE_S3_ACCESS_KEY_ID", KEY.key_id)
    monkeypatch.setenv("ECRATE_S3_SECRET_ACCESS_KEY", KEY.secret)
    return s3_server.make_address()


def words(source: Bench, database: str, blobs: str, *more: str) -> list[str]:
    return [
        "migrate",
        *("--from-database", source.url, "--from-blobs", f"file://{source.folder}"),
        *("--to-database", database, "--to-blobs", blobs, *more),
    ]


def all_rows(tx: Transaction) -> dict[str, list[Any]]:
    return {
        table.name: [row for page in dump.read_rows(tx, table) for row in page]
        for table in dump.TABLES
    }


def rows_of(bench: Bench) -> dict[str, list[Any]]:
    with bench.reading() as tx:
        return all_rows(tx)


def files_target(folder: Path) -> tuple[str, str]:
    return f"sqlite://{folder / 'ecrate.db'}", f"file://{folder}"


def test_files_to_files(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    new = tmp_path / "new"

    ran = plain_run(*words(bench, *files_target(new), "--json"))
    again = plain_run(*words(bench, *files_target(new)))

    told = json.loads(ran.out)
    assert (ran.code, told["copied"], told["damaged"]) == (0, 20, [])
    target = Bench(new)
    assert rows_of(target) == rows_of(bench)
    assert told["rows"] == sum(map(len, rows_of(bench).values()))
    assert check(target) == []
    with target.reading() as tx:
        assert target.database.find_sequence(tx, "repositories") == 99
    target.close()
    assert again.code == 255
    assert "the database to migrate to is not empty" in again.err


def test_migration_that_was_killed_goes_on(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    new = tmp_path / "new"

    code = run_until(
        words(bench, *files_target(new), "--rate", "50kB"), lambda: files_in(new / "blobs") >= 3
    )
    ran = plain_run(*words(bench, *files_target(new), "--json"))

    assert code == -signal.SIGKILL
    assert ran.code == 0
    assert 0 < json.loads(ran.out)["copied"] < 20
    target = Bench(new)
    assert rows_of(target) == rows_of(bench)
    assert check(target) == []
    target.close()


def test_layers_first_while_the_server_runs(plain_run: Run, tmp_path: Path) -> None:
    data, new = tmp_path / "data", tmp_path / "new"
    first, second = make_image(1000), make_image(2000)
    options = ["--data", str(data), "--json"]
    target = ["--to-database", f"sqlite://{new / 'ecrate.db'}", "--to-blobs", f"file://{new}"]
    with running_server(data, env={"ECRATE_COLLECT_EVERY": "0.1"}) as server:
        ecr = server.ecr()
        ecr.create_repository(repositoryName="team/app")
        push_image(ecr, "team/app", first, "1")
        while not leases(data):
            time.sleep(0.05)
        refused = plain_run("migrate", *options, *target)
        early = plain_run("migrate", *options, *target, "--blobs-only")
        push_image(ecr, "team/app", second, "2")
        key = (server.key_id, server.secret)

    late = plain_run("migrate", *options, *target)
    (new / "secret").write_text((data / "secret").read_text())
    with running_server(new, key=key) as server:
        contents = [pulled(server, "team/app", image) for image in (first, second)]

    assert refused.code == 255
    assert "A server is at work on what is to be moved. Stop it first" in refused.err
    assert (early.code, json.loads(early.out)["copied"], json.loads(early.out)["rows"]) == (0, 2, 0)
    assert (late.code, json.loads(late.out)["copied"]) == (0, 2)
    assert contents == [whole(first), whole(second)]


def leases(data: Path) -> list[Any]:
    with closing(sqlite3.connect(data / "ecrate.db")) as database:
        return database.execute("SELECT * FROM leases").fetchall()


def test_damage_is_told(plain_run: Run, bench: Bench, tmp_path: Path) -> None:
    new = tmp_path / "new"
    next((bench.folder / "blobs").rglob("*-*-*")).write_bytes(b"x")

    ran = plain_run(*words(bench, *files_target(new)))

    assert ran.code == 1
    assert ran.out.count("the source has not the bytes of sha256:") == 1
    target = Bench(new)
    assert [found.kind for found in check(target)] == ["lost-blob"]
    target.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(
            ["--to-database", "{old.url}", "--to-blobs", "file://{old.folder}"],
            "what is to be migrated is where it is to go",
            id="to itself",
        ),
        pytest.param(
            ["--from-database", "sqlite:///nowhere/ecrate.db", "--to-blobs", "file://{new}"],
            "there is no data in /nowhere/ecrate.db",
            id="no database",
        ),
        pytest.param(
            ["--from-blobs", "file:///nowhere", "--to-blobs", "file://{new}"],
            "there are no layers in file:///nowhere",
            id="no blobs",
        ),
        pytest.param(
            ["--to-database", "mysql://x", "--to-blobs", "file://{new}"],
            "setting 'database' is 'mysql://x'",
            id="no engine",
        ),
    ],
)
def test_what_cannot_be_migrated(
    plain_run: Run, bench: Bench, tmp_path: Path, options: list[str], told: str
) -> None:
    given = [word.format(old=bench, new=tmp_path / "new") for word in options]

    ran = plain_run(*words(bench, f"sqlite://{tmp_path}/new.db", f"file://{tmp_path}/new", *given))

    assert ran.code == 253
    assert told in ran.err


@pytest.mark.postgres
@pytest.mark.s3
def test_to_postgresql_and_s3_and_back(
    plain_run: Run, bench: Bench, postgres: Postgres, place: S3Address, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    with postgres.empty() as url:
        there = plain_run(*words(bench, url, url_of(place)))
        middle = Bench(tmp_path, url, blob_store=S3Blobs(place, KEY))
        middle_rows, middle_problems = rows_of(middle), check(middle)
        made = middle.create("new")
        with middle.reading() as tx:
            ids = tx.one("SELECT max(id) FROM repositories")
        repositories_before = rows_of(middle)["repositories"]
        middle.close()
        back_again = plain_run(
            "migrate",
            *("--from-database", url, "--from-blobs", url_of(place)),
            *("--to-database", f"sqlite://{back}/ecrate.db", "--to-blobs", f"file://{back}"),
        )

    assert (there.code, there.err, back_again.code, back_again.err) == (0, "", 0, "")
    assert middle_rows == rows_of(bench)
    assert middle_problems == []
    # The identity goes on where SQLite's was.
    assert ids == (100,)
    target = Bench(back)
    assert rows_of(target)["repositories"] == repositories_before
    assert check(target) == []
    assert target.create("newer") != made
    with target.reading() as tx:
        assert tx.one("SELECT max(id) FROM repositories") == (101,)
    target.close()


@pytest.mark.postgres
@pytest.mark.s3
def test_backup_of_sqlite_and_files_is_restored_into_postgresql_and_s3(
    plain_run: Run, bench: Bench, postgres: Postgres, place: S3Address, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    (bench.folder / "secret").write_text("0" * 64)
    first = plain_run("backup", str(folder), "--data", str(bench.folder))

    with postgres.empty() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECRATE_BLOBS", url_of(place))
        node = ["--data", str(tmp_path / "node"), "--database", url]
        restored = plain_run("restore", str(folder), *node)
        target = Bench(tmp_path, url, blob_store=S3Blobs(place, KEY))
        rows, problems = rows_of(target), check(target)
        target.close()
        second = plain_run("backup", str(folder), *node, "--json")
        checked = plain_run("fsck", *node)
        other = ["--data", str(tmp_path / "other")]
        taken = plain_run("restore", str(folder), *other, "--database", url)
        copied = plain_run("backup", str(tmp_path / "third"), *node, "--verify", "--json")
        with postgres.empty() as new_url:
            # The database is lost, the objects are not.
            words = ["restore", str(folder), *other, "--database", new_url, "--json"]
            again = plain_run(*words)

    assert (first.code, restored.code, second.code, checked.code) == (0, 0, 0, 0)
    assert rows == rows_of(bench)
    assert problems == []
    assert json.loads(second.out)["copied"] == 0
    assert taken.code == 255
    assert "the database is not empty" in taken.err
    assert (copied.code, json.loads(copied.out)["copied"]) == (0, 20)
    assert (again.code, json.loads(again.out)["copied"]) == (0, 0)
