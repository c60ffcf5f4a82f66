"""The rows of uploads in memory, for the blob drivers' own tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ecrate.blobs.port import BlobStore, BusyError, Kept, Stored, UploadFile


@dataclass
class Row:
    """An upload's row: what counts of it, and whose turn it is."""

    size: int = 0
    state: bytes = b""
    claim: object = None
    is_open: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)


class RowView:
    """One writer's view of it, which is what a driver is given."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._claim = object()
        self.renewals = 0

    def claim(self, change: Callable[[bytes], bytes], wait: float) -> bytes:
        deadline = time.monotonic() + wait
        while True:
            with self._row.lock:
                if not self._row.is_open:
                    raise FileNotFoundError
                if self._row.claim is None:
                    before = self._row.state
                    self._row.claim, self._row.state = self._claim, change(before)
                    return before
            if time.monotonic() >= deadline:
                raise BusyError
            time.sleep(0.01)

    def keep(self, state: bytes) -> None:
        with self._row.lock:
            if self._row.claim is not self._claim:
                raise BusyError
            self._row.state = state

    def renew(self) -> None:
        self.renewals += 1

    def release(self, state: bytes) -> bool:
        with self._row.lock:
            if self._row.claim is not self._claim:
                return False
            self._row.claim, self._row.state = None, state
            return True


class Uploads:
    """Uploads on a blob store, driven as the operations drive them."""

    def __init__(self, blobs: BlobStore) -> None:
        self.blobs = blobs
        self.rows: dict[str, Row] = {}

    def row(self, key: str) -> Row:
        return self.rows.setdefault(key, Row())

    def open(self, key: str, *, is_new: bool | None = None, wait: float = 0) -> UploadFile:
        row = self.row(key)
        is_new = row.size == 0 if is_new is None else is_new
        return self.blobs.open_upload(key, RowView(row), is_new=is_new, wait=wait)

    def count(self, key: str, kept: Kept, size: int) -> None:
        """Make what was kept count, as the row's transaction does; what it frees is deleted."""
        row = self.row(key)
        with row.lock:
            row.size, row.state, row.claim = size, kept.state, None
        for unused in kept.unused:
            self.blobs.delete(unused)

    def write(self, key: str, *pieces: bytes | bytearray | memoryview) -> None:
        """Append to the upload, and make it count."""
        file = self.open(key)
        try:
            size = self.row(key).size
            file.start(size)
            for piece in pieces:
                file.write(piece)
            self.count(key, file.sync(), size + sum(map(len, pieces)))
        finally:
            file.close()

    def commit(self, key: str) -> Stored:
        """Make the upload a blob, and give where it is."""
        row = self.row(key)
        file = self.open(key)
        try:
            file.start(row.size)
            stored = self.blobs.commit(key, file.seal())
            row.is_open, row.claim = False, None
            for unused in stored.unused:
                self.blobs.delete(unused)
            return stored
        finally:
            file.close()

    def read_back(self, key: str) -> bytes:
        """Give the upload's bytes, unfinished as it is."""
        file = self.open(key, is_new=False)
        try:
            file.start(self.row(key).size)
            with file.read_back() as source:
                return source.read()
        finally:
            file.close()

    def blob(self, key: str, start: int = 0) -> bytes:
        with self.blobs.open_blob(key, start) as file:
            return file.read()
