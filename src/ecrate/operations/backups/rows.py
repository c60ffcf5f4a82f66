"""Rows as files: a line of JSON a row, compressed, its bytes in base64."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pybase64

from ecrate.domain.errors import BackupUnusable
from ecrate.operations.intake import Named
from ecrate.store.database import Database, Row, Transaction
from ecrate.store.dump import TABLES, Table

_PAGE: Final = 500
_LARGEST_PAGE: Final = 8 * 1024 * 1024
_LONGEST: Final = 16 * 1024 * 1024


class Rows(msgspec.Struct, frozen=True):
    """A file of rows: of which table and columns, how many, and the SHA-256 of the lines."""

    table: str
    columns: tuple[str, ...]
    binary: tuple[str, ...]
    count: int
    sha256: str


class RowHasher:
    """Digests rows as their lines are written."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._encode = msgspec.json.Encoder().encode
        self.count = 0

    def line(self, row: Sequence[object]) -> bytes:
        """Give the row's line."""
        line = self._encode(row) + b"\n"
        self._hash.update(line)
        self.count += 1
        return line

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def write_rows(path: Path, table: Table, pages: Iterable[Sequence[Row]]) -> Rows:
    """Write all rows of a table, durably."""
    return _write(path, table.name, table.columns, table.binary, pages)


def write_lines(path: Path, name: str, rows: Iterable[Row]) -> Rows:
    """Write rows that are no table's, durably."""
    return _write(path, name, (), (), ([row] for row in rows))


def _write(
    path: Path,
    name: str,
    columns: tuple[str, ...],
    binary: tuple[str, ...],
    pages: Iterable[Sequence[Row]],
) -> Rows:
    hasher = RowHasher()
    with path.open("xb") as file:
        path.chmod(0o600)
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
            for page in pages:
                packed.write(b"".join(map(hasher.line, page)))
        file.flush()
        os.fsync(file.fileno())
    return Rows(name, columns, binary, hasher.count, hasher.hexdigest())


def read_rows(path: Path, rows: Rows) -> Iterator[list[list[object]]]:
    """Give the rows in pages. Raises `BackupUnusable`, at the end at the latest, where the file is
    not the one that was written.
    """
    hasher = hashlib.sha256()
    decode = msgspec.json.Decoder(list[object]).decode
    binary = [rows.columns.index(column) for column in rows.binary]
    page: list[list[object]] = []
    count = size = 0
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(_LONGEST):
                hasher.update(line)
                row = decode(line)
                for at in binary:
                    row[at] = pybase64.b64decode(str(row[at]), validate=True)
                page.append(row)
                size += len(line)
                if len(page) == _PAGE or size > _LARGEST_PAGE:
                    yield page
                    count += len(page)
                    page, size = [], 0
                if count + len(page) > rows.count:
                    break
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise BackupUnusable(f"{path} cannot be read: {error}") from None
    if (count + len(page), hasher.hexdigest()) != (rows.count, rows.sha256):
        raise BackupUnusable(f"{path} is damaged: it has not the rows that were written")
    if page:
        yield page


def read_blobs(path: Path, rows: Rows) -> Iterator[Named]:
    """Give the blobs of a file of them."""
    for page in read_rows(path, rows):
        for digest, key, size in page:
            yield Named(str(digest), str(key), int(str(size)))


def read_sequences(database: Database, tx: Transaction) -> dict[str, int]:
    """Give the last identity that each table gave out."""
    return {
        table.name: database.find_sequence(tx, table.name) for table in TABLES if table.has_identity
    }
