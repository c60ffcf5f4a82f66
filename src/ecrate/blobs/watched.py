"""A blob store whose steps are watched: what opens, keeps, and deletes bytes.

To open a local blob costs less than to watch it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ecrate.blobs.hashing import Buffer
from ecrate.blobs.port import BlobStore, Kept, Stored, UploadFile, UploadRow
from ecrate.domain.watching import Watch


class WatchedBlobs:
    """Tells the watch of what waits for the disk or another machine."""

    def __init__(self, inner: BlobStore, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch
        self.is_local = inner.is_local
        self.row_room = inner.row_room
        self.open_blob = inner.open_blob if inner.is_local else self._open_blob

    def check(self) -> None:
        self._inner.check()

    def take_place(self, owner: str) -> str:
        return self._inner.take_place(owner)

    def open_upload(self, key: str, row: UploadRow, *, is_new: bool, wait: float) -> UploadFile:
        with self._watch("open upload"):
            opened = self._inner.open_upload(key, row, is_new=is_new, wait=wait)
        return WatchedUpload(opened, self._watch)

    def commit(self, key: str, state: bytes) -> Stored:
        with self._watch("commit"):
            return self._inner.commit(key, state)

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        with self._watch("put"):
            self._inner.put(key, source, size)

    def adopt(self, key: str, file: Path) -> bool:
        return self._inner.adopt(key, file)

    def file(self, key: str) -> Path | None:
        return self._inner.file(key)

    def exists(self, key: str, size: int) -> bool:
        with self._watch("look up"):
            return self._inner.exists(key, size)

    def _open_blob(self, key: str, start: int = 0) -> BinaryIO:
        with self._watch("open blob"):
            return self._inner.open_blob(key, start)

    def url(self, key: str, lifetime: int) -> str | None:
        return self._inner.url(key, lifetime)

    def delete(self, key: str, state: bytes = b"") -> None:
        with self._watch("delete"):
            self._inner.delete(key, state)

    def list_keys(self, before: float) -> Iterator[tuple[str, bytes]]:
        return self._inner.list_keys(before)


class WatchedUpload:
    """An upload's file; each write of some 1 MiB and each sync is told."""

    def __init__(self, inner: UploadFile, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch
        self.start = inner.start
        self.read_back = inner.read_back
        self.close = inner.close

    def write(self, data: Buffer) -> None:
        with self._watch("write"):
            self._inner.write(data)

    def sync(self) -> Kept:
        with self._watch("sync"):
            return self._inner.sync()

    def seal(self) -> bytes:
        with self._watch("seal"):
            return self._inner.seal()
