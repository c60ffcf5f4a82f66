"""The blob store port: bytes under keys, first growing as an upload, then whole for ever.

A driver keeps in an upload's row what it needs to go on with it on another node (`blob_state`,
opaque to everybody else). The row's size and state change in one step: so bytes count, or do not,
whatever became of the writer that sent them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from ecrate.blobs.hashing import Buffer


class BusyError(Exception):
    """Another writer has the upload open, or has taken it over."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written is durable, and counts once `state` is in the upload's row.

    From then on nothing needs the bytes under the keys in `unused`.
    """

    state: bytes = b""
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob is whole under `key`. Nothing needs the bytes under `unused` once its row says so."""

    key: str
    unused: tuple[str, ...] = ()


class UploadRow(Protocol):
    """An upload's row, for drivers that cannot keep a second writer out by themselves.

    A claim makes a writer the only one until it lets go, or until nothing was heard of it for a
    while: then another may take over, and the first one finds out at its next step.
    """

    def claim(self, change: Callable[[bytes], bytes], wait: float) -> bytes:
        """Claim the upload and put `change(state)` in place of its state; give the old state.

        Waits up to `wait` seconds for another writer, then raises `BusyError`. Raises
        `FileNotFoundError` when the upload is not open (any more).
        """

    def keep(self, state: bytes) -> None:
        """Write the state and renew the claim; raises `BusyError` when it is another's by now."""

    def renew(self) -> None:
        """Renew the claim if much of its time is over; raises `BusyError` as `keep` does."""

    def release(self, state: bytes) -> bool:
        """Let the next writer in, with this state. False when the claim was over already,
        because what was written counts now, or because another has taken over.
        """


class UploadFile(Protocol):
    """The one writer of an upload; nobody else can open it until `close`.

    Whatever needs room raises `StorageFull` when there is none, and whatever needs a service
    `StoreUnavailable` when it cannot be reached, here and in `BlobStore`.
    """

    def start(self, size: int) -> None:
        """Keep the first `size` bytes, which the row counts, and go on from there.

        Raises `FileNotFoundError` when there are fewer.
        """

    def write(self, data: Buffer) -> None:
        """Append bytes. Raises `BusyError` when another writer has taken over meanwhile, and
        `FileNotFoundError` when the upload was ended.
        """

    def sync(self) -> Kept:
        """Return when all that was written would survive a power cut; the same again is given
        to another call. Raises as `write` does.
        """

    def read_back(self) -> BinaryIO:
        """Open the counted bytes for reading, to compute a digest once more. Where unfinished
        bytes cannot be read, this finishes the upload, and nothing can be appended any more.
        """

    def seal(self) -> bytes:
        """End the writing for good; give the state that `commit` takes. Again is harmless."""

    def close(self) -> None:
        """Let the next writer in; what was not counted in the upload's row does not matter."""


class BlobStore(Protocol):
    """A place for bytes. Keys are given once and never again.

    `is_local`: opening and reading a blob costs microseconds and never waits for another machine;
    a blob that is open is a file that the kernel can send.

    `row_room`: so many first bytes of an upload may be kept in its row, as its state, instead of
    here; 0 where the state is this store's own.
    """

    is_local: bool
    row_room: int

    def check(self) -> None:
        """Raise `ValueError`, with one line that says why, if the store cannot be used."""

    def take_place(self, owner: str) -> str:
        """Note that what is stored here belongs to the database `owner`, unless it is noted as
        another's; give whose it is.
        """

    def open_upload(self, key: str, row: UploadRow, *, is_new: bool, wait: float) -> UploadFile:
        """Open an upload for writing; `is_new` when it may have no bytes yet.

        Waits up to `wait` seconds for another writer to finish, then raises `BusyError`.
        Raises `FileNotFoundError` when the upload's bytes are not there (any more).
        """

    def commit(self, key: str, state: bytes) -> Stored:
        """Make a sealed upload a blob, durably. Doing it again is harmless.

        Raises `FileNotFoundError` when its bytes are gone.
        """

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        """Store all bytes of `source`, which are `size`, as a blob under a key given elsewhere,
        durably. Doing it again is harmless; where reading fails, there is no blob.
        """

    def adopt(self, key: str, file: Path) -> bool:
        """Do the same with a file that nobody changes, without reading it; False where this store
        cannot.
        """

    def file(self, key: str) -> Path | None:
        """Give the file that a blob is, if it is one; nobody may change it."""

    def exists(self, key: str, size: int) -> bool:
        """Tell whether a blob of exactly this size is there."""

    def open_blob(self, key: str, start: int = 0) -> BinaryIO:
        """Open a blob for reading from byte `start` on; raises `FileNotFoundError`."""

    def url(self, key: str, lifetime: int) -> str | None:
        """Give a URL from which anybody may read the blob for `lifetime` seconds; None where
        clients cannot read from the store themselves.
        """

    def delete(self, key: str, state: bytes = b"") -> None:
        """Delete a blob, or an upload with its state; what is not there counts as deleted."""

    def list_keys(self, before: float) -> Iterator[tuple[str, bytes]]:
        """Give keys of bytes last written before `before`, whether or not anything needs them,
        each with the state that `delete` needs.
        """
