"""The blob store port: bytes under keys, first growing as an upload, then whole for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from ecrate.blobs.hashing import Buffer


class BusyError(Exception):
    """Another writer has the upload open."""


class UploadFile(Protocol):
    """The one writer of an upload; nobody else can open it until `close`.

    Whatever needs room raises `StorageFull` when there is none, here and in `BlobStore`.
    """

    def start(self, size: int) -> None:
        """Keep the first `size` bytes, drop any beyond, and go on from there.

        Raises `FileNotFoundError` when there are fewer.
        """

    def write(self, data: Buffer) -> None:
        """Append bytes."""

    def sync(self) -> None:
        """Return when all that was written would survive a power cut."""

    def close(self) -> None:
        """Let the next writer in; what was not counted in the upload's row does not matter."""


class BlobStore(Protocol):
    """A place for bytes. Keys are UUIDs and never used twice."""

    def open_upload(self, key: str, *, is_new: bool, wait: float) -> UploadFile:
        """Open an upload for writing; `is_new` when it may have no bytes yet.

        Waits up to `wait` seconds for another writer to finish, then raises `BusyError`.
        Raises `FileNotFoundError` when the upload's bytes are not there (any more).
        """

    def commit(self, key: str) -> None:
        """Make the upload a blob, durably. Doing it again is harmless."""

    def exists(self, key: str, size: int) -> bool:
        """Tell whether a blob of exactly this size is there."""

    def open_blob(self, key: str) -> BinaryIO:
        """Open a blob for reading; raises `FileNotFoundError`."""

    def open_upload_for_reading(self, key: str) -> BinaryIO:
        """Open an upload's bytes for reading, to compute a digest once more."""

    def delete(self, key: str) -> None:
        """Delete blob or upload; one that is not there counts as deleted."""

    def list_keys(self, before: float) -> Iterator[str]:
        """Give keys of bytes last written before `before`, whether or not anything needs them."""
