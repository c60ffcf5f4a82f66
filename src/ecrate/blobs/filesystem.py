"""Blobs as files.

    DATA/
      uploads/<key>            growing; flock()ed by the one who writes to it
      blobs/<2 hex>/<key>      whole, never changed again
      blobs/<2 hex>/<key>.*    on its way there from what is not an upload's file

A key is the id of the upload that brought the bytes. One path leads from the one folder to the
other: write, fsync, rename, fsync of the folders. Both are on the same filesystem.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ecrate.blobs.hashing import Buffer
from ecrate.blobs.port import BusyError, Kept, Stored, UploadRow
from ecrate.blobs.sharing import share
from ecrate.domain.errors import StorageFull
from ecrate.domain.layers import MIB

_LOG: Final = logging.getLogger("ecrate")
_RETRY: Final = 0.02


class FilesystemBlobs:
    """The blob store of the embedded default. The lock on an upload's file is all it needs, so
    it keeps nothing in the upload's row.
    """

    is_local = True
    # Most images' configurations. A file and its folder cost two syncs and 200 to 700 microseconds.
    row_room = 16 * 1024

    def __init__(self, root: Path) -> None:
        self._uploads = root / "uploads"
        self._blobs = root / "blobs"
        self._uploads.mkdir(parents=True, exist_ok=True)
        for number in range(256):
            (self._blobs / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        _sync_folder(self._blobs)
        _sync_folder(root)

    def check(self) -> None:
        """Making the folders was the check."""

    def take_place(self, owner: str) -> str:
        """The folder is the data directory's, which has a lock of its own."""
        return owner

    def open_upload(
        self,
        key: str,
        row: UploadRow,  # noqa: ARG002 - of the port
        *,
        is_new: bool,
        wait: float,
    ) -> FileUpload:
        path = self._uploads / key
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_new else 0)
        with _needs_room():
            descriptor = os.open(path, flags, 0o600)
        try:
            _lock(descriptor, wait)
            # While this waited, the other writer may have made the file a blob.
            if path.stat().st_ino != os.fstat(descriptor).st_ino:
                raise FileNotFoundError(path)  # noqa: TRY301 - as stat() raises it above
        except BaseException:
            os.close(descriptor)
            raise
        return FileUpload(path, descriptor, self._uploads if is_new else None)

    def commit(self, key: str, state: bytes) -> Stored:  # noqa: ARG002 - of the port
        target = self._path(key)
        with _needs_room():
            try:
                (self._uploads / key).rename(target)
            except FileNotFoundError:
                if not target.exists():
                    raise
            _sync_folder(target.parent)
        return Stored(key)

    def put(self, key: str, source: BinaryIO, size: int) -> None:  # noqa: ARG002 - of the port
        target = self._path(key)
        # Beside its place, so that one folder's sync will do; nobody else has the name.
        path = target.with_name(f"{key}.{secrets.token_hex(4)}")
        with _needs_room():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                while piece := source.read(MIB):
                    _write(descriptor, piece)
                os.fdatasync(descriptor)
                path.rename(target)
            except BaseException:
                path.unlink()
                raise
            finally:
                os.close(descriptor)
            _sync_folder(target.parent)

    def adopt(self, key: str, file: Path) -> bool:
        path = self._uploads / key
        path.unlink(missing_ok=True)
        if not share(file, path):
            return False
        self.commit(key, b"")
        return True

    def file(self, key: str) -> Path:
        return self._path(key)

    def exists(self, key: str, size: int) -> bool:
        try:
            return self._path(key).stat().st_size == size
        except FileNotFoundError:
            return False

    def open_blob(self, key: str, start: int = 0) -> BinaryIO:
        file = self._path(key).open("rb", buffering=0)
        file.seek(start)
        return file

    def url(self, key: str, lifetime: int) -> None:  # noqa: ARG002 - of the port
        return None

    def delete(self, key: str, state: bytes = b"") -> None:  # noqa: ARG002 - of the port
        self._path(key).unlink(missing_ok=True)
        (self._uploads / key).unlink(missing_ok=True)

    def list_keys(self, before: float) -> Iterator[tuple[str, bytes]]:
        for folder in (self._uploads, *sorted(self._blobs.iterdir())):
            with os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        if entry.stat().st_mtime < before:
                            yield entry.name, b""

    def _path(self, key: str) -> Path:
        return self._blobs / key[:2] / key


class FileUpload:
    """An upload's file, locked for one writer."""

    __slots__ = ("_descriptor", "_new_in", "_path")

    def __init__(self, path: Path, descriptor: int, new_in: Path | None) -> None:
        self._path = path
        self._descriptor = descriptor
        self._new_in = new_in

    def start(self, size: int) -> None:
        if os.fstat(self._descriptor).st_size < size:
            raise FileNotFoundError("the upload has fewer bytes than its row says")
        os.ftruncate(self._descriptor, size)
        os.lseek(self._descriptor, size, os.SEEK_SET)

    def write(self, data: Buffer) -> None:
        with _needs_room():
            _write(self._descriptor, data)

    def sync(self) -> Kept:
        with _needs_room():
            os.fdatasync(self._descriptor)
            if self._new_in is not None:
                _sync_folder(self._new_in)
                self._new_in = None
        return Kept()

    def read_back(self) -> BinaryIO:
        return self._path.open("rb", buffering=0)

    def seal(self) -> bytes:
        return b""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write(descriptor: int, data: Buffer) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


@contextlib.contextmanager
def _needs_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        _LOG.error("no space left for layers: %s", error)
        raise StorageFull from error


def _lock(descriptor: int, wait: float) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BusyError from None
            time.sleep(_RETRY)
        else:
            return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
