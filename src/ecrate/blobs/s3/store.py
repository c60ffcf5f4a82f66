"""Blobs as objects of an S3-compatible store.

    PREFIX/<upload id>.<random>   a blob, or the tail of a growing upload
    PREFIX/owner                  the id of the database that all this belongs to

Nothing is copied when an upload becomes a blob, and nothing is looked up in the store: what there
is stands in rows.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ecrate.blobs.port import Stored, UploadRow
from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.bucket import Bucket
from ecrate.blobs.s3.memory import MIB
from ecrate.blobs.s3.presigning import Credentials
from ecrate.blobs.s3.state import Part, State
from ecrate.blobs.s3.upload import Resources, S3Upload, claimed

_MEMORY: Final = 256  # MiB that all uploads of a process share
_SENDERS: Final = 16
_PART: Final = 20 * MIB
_MOST_PARTS: Final = 10_000
_OWNER: Final = "owner"
# Other objects below the prefix are none of ours, and no sweep may touch them.
_OURS: Final = re.compile(r"(probe-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[0-9a-f]{16})?")


class S3Blobs:
    """The blob store that any number of nodes share."""

    is_local = False
    row_room = 0

    def __init__(
        self, address: S3Address, credentials: Credentials | None = None, *, redirects: bool = True
    ) -> None:
        """`redirects`: clients may be sent to the store. Nothing is connected yet."""
        self._bucket = Bucket(address, credentials)
        self._resources = Resources(_MEMORY, _SENDERS)
        self._redirects = redirects

    def check(self) -> None:
        """Raise `ValueError`, with one line that says why, if the store cannot be used."""
        self._bucket.check()

    def take_place(self, owner: str) -> str:
        # A sweep by another database would find no row for any of the blobs.
        for _ in range(2):
            with contextlib.suppress(FileNotFoundError), self._bucket.get(_OWNER) as source:
                return source.read().decode(errors="replace")
            self._bucket.put(_OWNER, [owner.encode()])
        return owner

    def open_upload(
        self,
        key: str,
        row: UploadRow,
        *,
        is_new: bool,  # noqa: ARG002 - the row tells
        wait: float,
    ) -> S3Upload:
        state = row.claim(lambda data: claimed(State.unpacked(data)).packed(), wait)
        return S3Upload(self._bucket, self._resources, key, row, State.unpacked(state))

    def commit(self, key: str, state: bytes) -> Stored:
        sealed = State.unpacked(state)
        if not sealed.parts:
            if not sealed.tail:
                raise FileNotFoundError(key)
            return Stored(sealed.tail)
        self._bucket.complete(sealed.target, sealed.multipart, sealed.parts)
        return Stored(sealed.target, (sealed.tail,) if sealed.tail else ())

    def put(self, key: str, source: BinaryIO, size: int) -> None:
        if size <= _PART:
            # To the end, where a source may find that it was not what it should be.
            self._bucket.put(key, _pieces(source, _PART + 1))
            return
        # An earlier try may have left parts that no sweep would take away: a row has the key.
        for name, upload, _ in self._bucket.list_uploads(key):
            if name == key:
                self._bucket.abort(key, upload)
        upload = self._bucket.begin(key)
        try:
            part_size = max(_PART, -(-size // _MOST_PARTS))
            parts: list[Part] = []
            while pieces := _pieces(source, part_size):
                parts.append(self._bucket.put_part(key, upload, len(parts) + 1, pieces))
            self._bucket.complete(key, upload, parts)
        except BaseException:
            self._bucket.abort(key, upload)
            raise

    def adopt(self, key: str, file: Path) -> bool:  # noqa: ARG002 - of the port
        return False

    def file(self, key: str) -> None:  # noqa: ARG002 - of the port
        return None

    def exists(self, key: str, size: int) -> bool:
        return self._bucket.size(key) == size

    def open_blob(self, key: str, start: int = 0) -> BinaryIO:
        return self._bucket.get(key, start)

    def url(self, key: str, lifetime: int) -> str | None:
        return self._bucket.url(key, lifetime) if self._redirects else None

    def delete(self, key: str, state: bytes = b"") -> None:
        ended = State.unpacked(state)
        if ended.multipart:
            self._bucket.abort(ended.target, ended.multipart)
        for name in {key, ended.target, ended.tail} - {""}:
            self._bucket.delete(name)

    def list_keys(self, before: float) -> Iterator[tuple[str, bytes]]:
        for key, written in self._bucket.list_objects():
            if written < before and _OURS.fullmatch(key):
                yield key, b""
        for key, upload, begun in self._bucket.list_uploads():
            if begun < before and _OURS.fullmatch(key):
                yield key, State(multipart=upload, target=key).packed()


def _pieces(source: BinaryIO, limit: int) -> list[bytes]:
    """Read up to `limit` bytes."""
    pieces = []
    while limit and (piece := source.read(min(MIB, limit))):
        pieces.append(piece)
        limit -= len(piece)
    return pieces
