"""What commands on the data directory say when there is none they can work on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ecrate.store.database import SCHEMA_VERSION
from ecrate.store.sqlite import migrate
from tests.cli.conftest import Run


def test_data_that_is_not_there(plain_run: Run, tmp_path: Path) -> None:
    ran = plain_run("trash", "--data", str(tmp_path), "list")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"ecrate: there is no data in {tmp_path}; start the server once")


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        pytest.param(
            "version = 1, oldest_code = 1", "by an older ecrate (schema 1); start", id="old"
        ),
        pytest.param("version = 99, oldest_code = 99", "by a newer ecrate (schema 99)", id="new"),
    ],
)
def test_data_of_another_schema(
    plain_run: Run, tmp_path: Path, columns: str, complaint: str
) -> None:
    migrate(tmp_path / "ecrate.db")
    (tmp_path / "secret").write_text("0" * 64)
    with closing(sqlite3.connect(tmp_path / "ecrate.db")) as connection, connection:
        connection.execute(f"UPDATE schema_version SET {columns}")  # noqa: S608 - constants

    ran = plain_run("iam", "--data", str(tmp_path), "list")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"ecrate: the data was written {complaint}")


def test_data_of_a_newer_schema_that_includes_this_version(plain_run: Run, tmp_path: Path) -> None:
    migrate(tmp_path / "ecrate.db")
    (tmp_path / "secret").write_text("0" * 64)
    with closing(sqlite3.connect(tmp_path / "ecrate.db")) as connection, connection:
        connection.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))

    ran = plain_run("iam", "--data", str(tmp_path), "list")

    assert (ran.code, ran.out, ran.err) == (0, "[]\n", "")
