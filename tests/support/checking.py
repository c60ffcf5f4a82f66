"""Checks of a bench's data, and images as they come out of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

from ecrate.domain.damage import Finding
from ecrate.domain.names import Digest, ImageId, RepositoryRef
from ecrate.operations import images
from ecrate.operations.checks import inspect
from ecrate.operations.checks.inspection import Inspection
from ecrate.operations.pace import Pace
from tests.support.audit import audit_rows
from tests.support.core import Bench
from tests.support.images import MadeImage
from tests.support.steps import Steps


def check(bench: Bench, *, repairs: bool = False, hashes: bool = True) -> list[Finding]:
    pace = Pace() if hashes else None
    return list(inspect(Inspection(bench.core, Steps(), repairs=repairs, pace=pace)))


def file_of(bench: Bench, digest: str) -> Path:
    """Give the file of a blob."""
    with bench.reading() as tx:
        (key,) = tx.one("SELECT key FROM blobs WHERE digest = ?", digest) or ("",)
    return next((bench.folder / "blobs").rglob(key))


def break_rows(bench: Bench, *statements: str) -> None:
    """Do to the database what its constraints would refuse."""
    if bench.url.startswith("sqlite"):
        with closing(sqlite3.connect(bench.url.removeprefix("sqlite://"))) as file, file:
            for statement in statements:
                file.execute(statement)
        return
    with psycopg.connect(bench.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement.encode())


def audit(bench: Bench) -> list[str]:
    """Give a line for each broken promise of rows and files."""
    with bench.reading() as tx:
        return list(audit_rows(tx.all, bench.folder))


def pull(bench: Bench, ref: RepositoryRef, image: MadeImage) -> list[bytes]:
    """Give all bytes of an image."""
    found = images.find_image(bench.core, bench.caller, ref, ImageId(Digest(image.digest)))
    blobs = [bench.read(ref, blob.digest) for blob in image.blobs]
    return [images.read_manifest(bench.core, found), *blobs]


def whole(image: MadeImage) -> list[bytes]:
    """Give what `pull` has to give."""
    return [image.manifest.encode(), *(blob.content for blob in image.blobs)]
