"""Uploads: a layer from its first byte to the stored blob.

An upload is written by one request at a time: whoever holds its file, or the claim in its row. The
row is the truth about how many bytes count; bytes beyond that are dropped by the next writer. So a
crash, a cut connection or a refused part leaves nothing but the upload as it was.

A small first part is kept in the row: it needs no file before more bytes come, or the end does.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import BinaryIO, Final, NamedTuple, Self

from ecrate.blobs.hashing import Buffer, new_hasher, resume_hasher
from ecrate.blobs.port import BusyError, Stored, UploadFile
from ecrate.domain.errors import (
    EmptyUpload,
    InvalidLayer,
    InvalidLayerPart,
    LayerAlreadyExists,
    LayerPartTooSmall,
    LimitExceeded,
    StoreUnavailable,
    UploadBusy,
    UploadNotFound,
)
from ecrate.domain.layers import MAX_PARTS, MIB, MIN_PART_SIZE, Part, Upload
from ecrate.domain.names import Digest, RepositoryRef
from ecrate.domain.principals import Caller
from ecrate.operations.authorization import Opener, open_repository
from ecrate.operations.claims import ClaimedRow
from ecrate.operations.core import Core
from ecrate.store import layers as store
from ecrate.store.blobs import Garbage, insert_garbage
from ecrate.store.database import Transaction
from ecrate.store.repositories import lock_repositories

# Short, since it is a thread that waits; a front that can wait without one tries again.
_WAIT_FOR_WRITER: Final = 0.5
_TOUCH_EVERY: Final = 3600.0


def initiate_layer_upload(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    *,
    algorithm: str = "sha256",
    opened_by: Opener = open_repository,
) -> str:
    """Begin an upload and give its id, which is good only for this caller and repository.

    `algorithm` is that of the digest it is going to be completed with; with another one the
    bytes have to be read again then.
    """
    with core.database.write() as tx:
        repository = opened_by(tx, caller, ref, "InitiateLayerUpload")
        upload = Upload(
            id=core.new_id(),
            repository_id=repository.id,
            principal=caller.arn,
            hash_state=new_hasher(algorithm).state(),
            touched_at=core.clock(),
        )
        store.insert_upload(tx, upload)
        return upload.id


def find_upload(
    core: Core, caller: Caller, ref: RepositoryRef, upload_id: str, action: str
) -> Upload:
    """Give the upload as its row has it now; raises `UploadNotFound`."""
    with core.database.look() as tx:
        repository = open_repository(tx, caller, ref, action)
        upload = store.find_upload(tx, upload_id, repository.id, caller.arn)
    if upload is None:
        raise UploadNotFound(upload_id, ref.name, ref.registry.id)
    return upload


def find_open_upload(core: Core, caller: Caller, ref: RepositoryRef, upload_id: str) -> Upload:
    """As `find_upload`, for one that is not completed."""
    upload = find_upload(core, caller, ref, upload_id, "UploadLayerPart")
    if upload.completed_digest is not None:
        raise UploadNotFound(upload_id, ref.name, ref.registry.id)
    return upload


class LayerWriter:
    """Appends to an upload; what is written counts once `commit` has returned.

    Used by one thread at a time. `close` without `commit` leaves the upload as it was.
    """

    def __init__(self, core: Core, caller: Caller, ref: RepositoryRef, upload_id: str) -> None:
        """Raise `UploadNotFound`, or `UploadBusy` if another request keeps writing to it."""
        self._core = core
        self._ref = ref
        upload = find_open_upload(core, caller, ref, upload_id)
        is_new = upload.size == 0 or bool(_bytes_in_row(core, upload))
        self._row = ClaimedRow(core, upload_id)
        with _upload_errors(upload, ref):
            self._file = core.blobs.open_upload(
                upload_id, self._row, is_new=is_new, wait=_WAIT_FOR_WRITER
            )
        try:
            # The row read first is from before the wait; the file is this request's by now.
            current = find_open_upload(core, caller, ref, upload_id)
            with _upload_errors(upload, ref):
                _start(core, current, self._file)
        except BaseException:
            self._file.close()
            raise
        self.upload = current
        self._hasher = resume_hasher(current.hash_state)
        self._size = current.size
        self._has_uncounted = False
        self._touched_at = core.clock()

    @property
    def size(self) -> int:
        """Bytes of the upload, with those written and not yet counted."""
        return self._size

    def write(self, data: Buffer) -> None:
        """Append; raises `LimitExceeded` before a layer becomes larger than it may."""
        limit = self._core.limits.layer_size
        if self._size + len(data) > limit:
            raise LimitExceeded(f"A layer can have at most {limit} bytes")
        if self._hasher is not None:
            self._hasher.update(data)
        self._has_uncounted = True
        with _upload_errors(self.upload, self._ref):
            self._file.write(data)
        self._size += len(data)
        now = self._core.clock()
        if now - self._touched_at > min(_TOUCH_EVERY, self._core.limits.upload_idle / 2):
            # A slow client's upload is not idle.
            self._touched_at = now
            with self._core.database.write() as tx:
                store.touch_upload(tx, self.upload.id, now)

    def commit(self, *, part: Part | None = None) -> int:
        """Make what was written count, durably; give the upload's size. It ends the writing.

        `part` tells that this was an UploadLayerPart, to which the rules for parts apply.
        """
        before = self.upload
        with _upload_errors(before, self._ref):
            kept = self._file.sync()
        after = replace(
            before,
            size=self._size,
            parts=before.parts + 1,
            hash_state=b"" if self._hasher is None else self._hasher.state(),
            touched_at=self._core.clock(),
            blob_state=kept.state,
            claim="",
        )
        if part is not None:
            last_was_short = before.size - before.last_part_first_byte < MIN_PART_SIZE
            after = replace(
                after,
                last_part_first_byte=part.first_byte,
                has_short_part=before.has_short_part or (before.parts > 0 and last_was_short),
            )
        try:
            with self._core.database.write() as tx:
                if not store.update_upload(tx, before, after):
                    raise UploadNotFound(before.id, self._ref.name, self._ref.registry.id)
                # Nothing ever referred to these bytes, so they need no quarantine.
                insert_garbage(tx, [Garbage(key) for key in kept.unused], 0.0)
        except StoreUnavailable:
            # They may count by now: whoever writes next will know.
            self._has_uncounted = False
            raise
        self._row.forget()
        self.upload = after
        self._has_uncounted = False
        return after.size

    def close(self) -> None:
        if self._has_uncounted:
            # They must not take up a disk that may just have become full.
            with contextlib.suppress(OSError):
                self._file.start(self.upload.size)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def upload_layer_part(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    upload_id: str,
    part: Part,
    *,
    pieces: Iterable[Buffer],
) -> int:
    """Append one part and give the index of its last byte. The last part sent again is harmless.

    Raises `InvalidLayerPart` when the part does not begin where the upload ends or its bytes are
    not as many as its range says, `LimitExceeded` after 4,200 parts.
    """
    upload = find_open_upload(core, caller, ref, upload_id)
    if part.repeats(upload):
        return part.last_byte
    _check_part(upload, ref, part)
    if part.size <= min(core.blobs.row_room, core.limits.layer_size) and not upload.parts:
        return _keep_in_row(core, caller, ref, upload_id, part, content=b"".join(pieces))
    core.database.check_may_wait()
    with LayerWriter(core, caller, ref, upload_id) as writer:
        if part.repeats(writer.upload):
            return part.last_byte
        _check_part(writer.upload, ref, part)
        for piece in pieces:
            writer.write(piece)
        _check_size(writer.upload, ref, part, writer.size - part.first_byte)
        writer.commit(part=part)
    return part.last_byte


def _keep_in_row(
    core: Core, caller: Caller, ref: RepositoryRef, upload_id: str, part: Part, *, content: bytes
) -> int:
    """Make a small first part the upload's, in one transaction."""
    with core.database.write() as tx:
        repository = open_repository(tx, caller, ref, "UploadLayerPart")
        upload = store.find_upload(tx, upload_id, repository.id, caller.arn)
        if upload is None or upload.completed_digest is not None:
            raise UploadNotFound(upload_id, ref.name, ref.registry.id)
        if part.repeats(upload):
            return part.last_byte
        _check_part(upload, ref, part)
        _check_size(upload, ref, part, len(content))
        hasher = resume_hasher(upload.hash_state)
        if hasher is not None:
            hasher.update(content)
        after = replace(
            upload,
            size=part.size,
            parts=1,
            hash_state=b"" if hasher is None else hasher.state(),
            touched_at=core.clock(),
            blob_state=content,
        )
        if not store.update_upload(tx, upload, after):
            raise UploadNotFound(upload_id, ref.name, ref.registry.id)
    return part.last_byte


def _bytes_in_row(core: Core, upload: Upload) -> bytes:
    return upload.blob_state if core.blobs.row_room else b""


def _start(core: Core, upload: Upload, file: UploadFile) -> None:
    """Let the file have the bytes that count and nothing else."""
    kept = _bytes_in_row(core, upload)
    file.start(0 if kept else upload.size)
    if kept:
        file.write(kept)


def _check_size(upload: Upload, ref: RepositoryRef, part: Part, given: int) -> None:
    if given != part.size:
        raise _invalid_part(
            upload,
            ref,
            f"Size of the layer part does not match its range: "  # [A]
            f"{given} bytes instead of {part.size}",
        )


def _check_part(upload: Upload, ref: RepositoryRef, part: Part) -> None:
    if part.first_byte != upload.size:
        raise _invalid_part(
            upload,
            ref,
            f"First byte of the layer part is {part.first_byte} instead of {upload.size}",
        )
    if upload.parts >= MAX_PARTS:
        raise LimitExceeded(f"An upload can have at most {MAX_PARTS} parts")


def _invalid_part(upload: Upload, ref: RepositoryRef, detail: str) -> InvalidLayerPart:
    return InvalidLayerPart(
        detail=detail,
        registry_id=ref.registry.id,
        repository_name=ref.name,
        upload_id=upload.id,
        last_valid_byte_received=max(upload.size - 1, 0),
    )


def complete_layer_upload(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    upload_id: str,
    digests: Sequence[str],
    *,
    may_be_empty: bool = False,
) -> Digest:
    """Make the upload a layer of the repository and give its digest.

    `digests` are the client's; one whose algorithm is not taken here is not checked. The first
    answer is kept for an hour and given again to a retry. Raises `EmptyUpload`,
    `LayerPartTooSmall`, `InvalidLayer`, `LayerAlreadyExists`; only the last ends the upload.
    """
    upload = find_upload(core, caller, ref, upload_id, "CompleteLayerUpload")
    if upload.completed_digest is None:
        upload = _complete(core, caller, ref, upload, digests, may_be_empty=may_be_empty)
    digest = Digest(upload.completed_digest or "")
    if digest.text not in digests and any(_is_checkable(core, given) for given in digests):
        raise InvalidLayer(", ".join(digests), digest.text)
    if upload.existed:
        raise LayerAlreadyExists(digest.text, ref.name, ref.registry.id)
    return digest


def _complete(
    core: Core,
    caller: Caller,
    ref: RepositoryRef,
    upload: Upload,
    digests: Sequence[str],
    *,
    may_be_empty: bool,
) -> Upload:
    if kept := _bytes_in_row(core, upload):
        digest = _verified_digest(core, upload, lambda: BytesIO(kept), digests)
        core.blobs.put(upload.id, BytesIO(kept), upload.size)
        return _store_layer(core, ref, upload, digest, Stored(upload.id))
    file: UploadFile | None = None
    row = ClaimedRow(core, upload.id)
    if upload.parts or may_be_empty:
        # Where it is not there, it is committed already, by a request that was cut off or one
        # that runs right now.
        with _busy_error(upload), contextlib.suppress(FileNotFoundError):
            file = core.blobs.open_upload(
                upload.id, row, is_new=upload.size == 0, wait=_WAIT_FOR_WRITER
            )
    try:
        upload = find_upload(core, caller, ref, upload.id, "CompleteLayerUpload")
        if upload.completed_digest is not None:
            return upload
        if not upload.parts and not may_be_empty:
            raise EmptyUpload(upload.id)
        if file is None and not core.blobs.exists(upload.id, upload.size):
            raise UploadNotFound(upload.id, ref.name, ref.registry.id)
        if upload.has_short_part:
            raise LayerPartTooSmall
        with _upload_errors(upload, ref):
            if file is not None:
                # A writer that was refused or cut off may have left bytes that do not count.
                file.start(upload.size)
            reopen = partial(core.blobs.open_blob, upload.id) if file is None else file.read_back
            digest = _verified_digest(core, upload, reopen, digests)
            stored = core.blobs.commit(upload.id, b"" if file is None else file.seal())
        completed = _store_layer(core, ref, upload, digest, stored)
        row.forget()
        return completed
    finally:
        if file is not None:
            file.close()


def _verified_digest(
    core: Core, upload: Upload, reopen: Callable[[], BinaryIO], digests: Sequence[str]
) -> Digest:
    """Give the digest under which the layer is stored: the one given that its bytes have."""
    checkable = [Digest(given) for given in digests if _is_checkable(core, given)]
    names = {digest.algorithm for digest in checkable} or {"sha256"}
    actual = [Digest(f"{name}:{_hexdigest(upload, reopen, name)}") for name in names]
    for digest in checkable:
        if digest in actual:
            return digest
    if checkable:
        raise InvalidLayer(
            ", ".join(digest.text for digest in checkable),
            ", ".join(digest.text for digest in actual),
        )
    return actual[0]


def _is_checkable(core: Core, digest: str) -> bool:
    return digest.partition(":")[0] in core.algorithms


def _hexdigest(upload: Upload, reopen: Callable[[], BinaryIO], algorithm: str) -> str:
    hasher = resume_hasher(upload.hash_state)
    if hasher is not None and hasher.algorithm == algorithm:
        return hasher.hexdigest()
    plain = hashlib.new(algorithm)
    with reopen() as source:
        for piece in iter(lambda: source.read(MIB), b""):
            plain.update(piece)
    return plain.hexdigest()


def _store_layer(
    core: Core, ref: RepositoryRef, upload: Upload, digest: Digest, stored: Stored
) -> Upload:
    """Write the rows: the bytes become the blob of their digest, unless it has some already."""
    now = core.clock()
    with core.database.look() as tx:
        kept = store.find_blob(tx, digest.text)
    # A row whose bytes were lost (a bad disk, a wrong restore) is healed by the new ones.
    is_lost = kept is not None and (kept[2] or not core.blobs.exists(kept[1], upload.size))
    with core.database.write() as tx:
        lock_repositories(tx, [upload.repository_id])
        current = store.find_upload(tx, upload.id, upload.repository_id, upload.principal)
        if current is None:
            raise UploadNotFound(upload.id, ref.name, ref.registry.id)
        if current.completed_digest is not None:
            # A retry overtook the request it repeats; both get the one answer.
            return current
        if (current.claim, current.size) != (upload.claim, upload.size):
            raise UploadBusy(upload.id)
        new = NewBlob(digest, stored.key, upload.size)
        blob_id, unused, was_known_lost = settle_blob(
            tx, new, lost=kept if is_lost else None, now=now
        )
        was_linked = store.link_layer(tx, upload.repository_id, blob_id, now)
        existed = was_linked and not was_known_lost
        store.complete_upload(tx, upload.id, digest, now, existed=existed)
        garbage = [Garbage(key) for key in stored.unused]
        if unused is not None:
            garbage.append(Garbage(unused, upload.size))
        # Nothing ever referred to these bytes, so they need no quarantine.
        insert_garbage(tx, garbage, 0.0)
    return replace(upload, completed_digest=digest.text, existed=existed)


class NewBlob(NamedTuple):
    """Bytes that were just stored."""

    digest: Digest
    key: str
    size: int


def settle_blob(
    tx: Transaction, new: NewBlob, *, lost: tuple[int, str, bool] | None, now: float
) -> tuple[int, str | None, bool]:
    """Make the new bytes those of the digest where it has none, is known to have lost them, or
    is as in `lost`; give the blob, which is locked, the key of the bytes that are not needed, and
    whether the blob was known to have lost its own.
    """
    # Between a look and the next one somebody else may store the blob, or collect it.
    while True:
        found = store.find_blob(tx, new.digest.text)
        if found is None:
            blob_id = store.insert_blob(tx, new.digest, new.key, new.size, now)
            if blob_id is not None:
                return blob_id, None, False
        elif found[2] or found == lost:
            store.replace_blob_key(tx, found[0], new.key)
            return found
        else:
            return found[0], new.key, False


def cancel_layer_upload(core: Core, caller: Caller, ref: RepositoryRef, upload_id: str) -> None:
    """End an upload; its bytes go. Raises `UploadNotFound`."""
    find_open_upload(core, caller, ref, upload_id)
    # By its id alone: should its repository be gone meanwhile, so is the upload.
    with core.database.write() as tx:
        if not store.delete_upload(tx, upload_id, core.clock()):
            raise UploadNotFound(upload_id, ref.name, ref.registry.id)


@contextlib.contextmanager
def _busy_error(upload: Upload) -> Iterator[None]:
    try:
        yield
    except BusyError:
        raise UploadBusy(upload.id) from None


@contextlib.contextmanager
def _upload_errors(upload: Upload, ref: RepositoryRef) -> Iterator[None]:
    with _busy_error(upload):
        try:
            yield
        except FileNotFoundError:
            raise UploadNotFound(upload.id, ref.name, ref.registry.id) from None
