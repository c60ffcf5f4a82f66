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
from typing import BinaryIO, Final

from ecrate.blobs.port import Stored, UploadRow
from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.bucket import Bucket
from ecrate.blobs.s3.presigning import Credentials
from ecrate.blobs.s3.state import State
from ecrate.blobs.s3.upload import Resources, S3Upload, claimed

_MEMORY: Final = 256  # MiB that all uploads of a process share
_SENDERS: Final = 16
_OWNER: Final = "owner"
# Other objects below the prefix are none of ours, and no sweep may touch them.
_OURS: Final = re.compile(r"(probe-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[0-9a-f]{16})?")


class S3Blobs:
    """The blob store that any number of nodes share."""

    is_local = False

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
