"""The three databases in which rpm has kept its headers.

    rpmdb.sqlite   an SQLite table `Packages` (Fedora 33, RHEL 9 and on)
    Packages.db    rpm's own: pages of slots that point at blobs (SUSE)
    Packages       a hash of Berkeley DB (RHEL 8 and before)

Sources: rpm's lib/backend; Berkeley DB's db_page.h.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ecrate.scanning.inventory import Package
from ecrate.scanning.readers.found import Found, UnreadableError
from ecrate.scanning.readers.rpm import read_header

_LARGEST: Final = 1024 * 1024 * 1024
_LARGEST_HEADER: Final = 64 * 1024 * 1024
_MOST_PACKAGES: Final = 100_000
_PIECE: Final = 1024 * 1024

Headers = Callable[[Path], Iterator[bytes]]


def read_sqlite(file: IO[bytes], path: str) -> Found:
    return _read(file, path, _sqlite_headers)


def read_ndb(file: IO[bytes], path: str) -> Found:
    return _read(file, path, _ndb_headers)


def read_berkeley(file: IO[bytes], path: str) -> Found:
    return _read(file, path, _berkeley_headers)


def _read(file: IO[bytes], path: str, headers: Headers) -> Found:
    packages: list[Package] = []
    owned: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "rpmdb"
        _spool(file, copy)
        try:
            for header in headers(copy):
                package, files = read_header(header, path)
                if package is not None:
                    packages.append(package)
                    owned.update(files)
                if len(packages) > _MOST_PACKAGES:
                    raise UnreadableError(f"more than {_MOST_PACKAGES} packages")
        except (sqlite3.Error, struct.error, OverflowError) as error:
            raise UnreadableError(f"no database of rpm: {error}") from None
    return Found(tuple(packages), frozenset(owned))


def _spool(file: IO[bytes], copy: Path) -> None:
    size = 0
    with copy.open("wb") as target:
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > _LARGEST:
                raise UnreadableError(f"larger than {_LARGEST} bytes")
            target.write(piece)


def _sqlite_headers(copy: Path) -> Iterator[bytes]:
    with contextlib.closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        # A view of that name could be an endless query.
        found = database.execute(
            "SELECT type FROM sqlite_master WHERE name = 'Packages' AND sql LIKE 'CREATE TABLE%'"
        ).fetchone()
        if found != ("table",):
            raise UnreadableError("no table 'Packages'")
        rows = database.execute(
            "SELECT blob FROM Packages WHERE length(blob) <= ?", (_LARGEST_HEADER,)
        )
        yield from (bytes(row[0]) for row in rows if isinstance(row[0], bytes))


_SLOTS_MAGIC: Final = b"RpmP"
_SLOT_MAGIC: Final = b"Slot"
_BLOB_MAGIC: Final = b"BlbS"
_PAGE: Final = 4096
_BLOCK: Final = 16
_FIRST_SLOT: Final = 2
_SLOT: Final = struct.Struct("<4sIII")
_BLOB: Final = struct.Struct("<4sIII")
_MOST_PAGES: Final = 4096


def _ndb_headers(copy: Path) -> Iterator[bytes]:
    with copy.open("rb") as file:
        start = file.read(32)
        if len(start) < 32 or start[:4] != _SLOTS_MAGIC:  # noqa: PLR2004 - the header
            raise UnreadableError("no database of rpm: another magic")
        pages = struct.unpack_from("<I", start, 12)[0]
        if pages > _MOST_PAGES:
            raise UnreadableError(f"more than {_MOST_PAGES} pages of slots")
        file.seek(0)
        slots = file.read(pages * _PAGE)
        slots = slots[: len(slots) // _SLOT.size * _SLOT.size]
        for place, slot in enumerate(_SLOT.iter_unpack(slots)):
            magic, package, block, count = slot
            if place < _FIRST_SLOT or magic != _SLOT_MAGIC or not package:
                continue
            file.seek(block * _BLOCK)
            head = file.read(_BLOB.size)
            if len(head) < _BLOB.size:
                continue
            blob_magic, blob_package, _, size = _BLOB.unpack(head)
            fits = size <= min(count * _BLOCK, _LARGEST_HEADER)
            if blob_magic == _BLOB_MAGIC and blob_package == package and fits:
                yield file.read(size)


_HASH_MAGIC: Final = 0x061561
_START: Final = 72
_PAGE_HEADER: Final = 26
_HASH_PAGES: Final = (2, 13)
_OVERFLOW: Final = 7
_OFF_PAGE: Final = 3
_OFF_PAGE_ITEM: Final = 12


def _berkeley_headers(copy: Path) -> Iterator[bytes]:
    with copy.open("rb") as file:
        start = file.read(_START)
        for order in "<>":
            if (
                len(start) == _START
                and struct.unpack_from(f"{order}I", start, 12)[0] == _HASH_MAGIC
            ):
                break
        else:
            raise UnreadableError("no hash of Berkeley DB: another magic")
        page_size = struct.unpack_from(f"{order}I", start, 20)[0]
        if page_size not in {2**power for power in range(9, 17)}:
            raise UnreadableError(f"pages of {page_size} bytes")
        count = os.fstat(file.fileno()).st_size // page_size
        yield from _Pages(file, order, page_size, count).values()


@dataclass(frozen=True, slots=True)
class _Pages:
    """The pages of a file of Berkeley DB."""

    file: IO[bytes]
    order: str
    size: int
    count: int

    def values(self) -> Iterator[bytes]:
        """Give the values that are too large for a page: headers are, other values are not."""
        for number in range(self.count):
            page = self._page(number)
            if page is not None and page[25] in _HASH_PAGES:
                yield from self._values_of(page)

    def _page(self, number: int) -> bytes | None:
        self.file.seek(number * self.size)
        page = self.file.read(self.size)
        return page if len(page) == self.size else None

    def _values_of(self, page: bytes) -> Iterator[bytes]:
        entries = struct.unpack_from(f"{self.order}H", page, 20)[0]
        if _PAGE_HEADER + 2 * entries > self.size:
            return
        offsets = struct.unpack_from(f"{self.order}{entries}H", page, _PAGE_HEADER)
        # Keys and values take turns.
        for offset in offsets[1::2]:
            if offset + _OFF_PAGE_ITEM <= self.size and page[offset] == _OFF_PAGE:
                first, size = struct.unpack_from(f"{self.order}II", page, offset + 4)
                value = self._overflow(first, size)
                if value is not None:
                    yield value

    def _overflow(self, number: int, size: int) -> bytes | None:
        """Give a value that has pages of its own, each naming the next."""
        if size > min(_LARGEST_HEADER, self.count * self.size):
            return None
        value = bytearray()
        for _ in range(self.count):
            if not number or len(value) >= size:
                break
            page = self._page(number)
            if page is None or page[25] != _OVERFLOW:
                return None
            used = struct.unpack_from(f"{self.order}H", page, 22)[0]
            value += page[_PAGE_HEADER : _PAGE_HEADER + used]
            number = struct.unpack_from(f"{self.order}I", page, 16)[0]
        return bytes(value[:size]) if len(value) >= size else None
