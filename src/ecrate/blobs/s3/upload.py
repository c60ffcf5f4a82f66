"""The one writer of an upload on an S3 store.

Bytes are gathered in memory and go to the store as parts of about 20 MiB, one at a time and while
the next one is gathered. What is left when the request ends becomes a part too if it is large
enough, otherwise an object of its own, the tail; the next writer takes the tail into its first
part. An upload that fits into one piece has a tail only, which is the blob as it stands.

Nothing is ever written twice under one name: part numbers are reserved in the upload's row before
they are used, an object's key is new each time. So whatever a writer does that lost its claim
without noticing, the bytes that the row names stay as they are.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import BinaryIO, Concatenate, Final, ParamSpec, TypeVar

from msgspec.structs import replace

from ecrate.blobs.hashing import Buffer as Bytes
from ecrate.blobs.port import BusyError, Kept, UploadRow
from ecrate.blobs.s3.bucket import Bucket
from ecrate.blobs.s3.memory import MIB, Buffer, Segments
from ecrate.blobs.s3.state import Part, State
from ecrate.domain.errors import LimitExceeded, StorageFull, StoreUnavailable

P = ParamSpec("P")
R = TypeVar("R")

# Source: Amazon S3 user guide, "Amazon S3 multipart upload limits".
_SMALLEST_PART: Final = 5 * MIB
_MOST_PARTS: Final = 10_000
# A layer of 52,000 MiB fits although the first 5,000 parts may all be as small as S3 allows.
_SMALL_PARTS: Final = 5_000
_SMALLEST_LATE_PART: Final = 16 * MIB
_PART: Final = 20 * MIB
# So much always stays behind a part that what is left in the end makes a part too.
_GATHERED: Final = _PART + _SMALLEST_PART
_SINGLE: Final = 16 * MIB
_RESERVED_AT_FIRST: Final = 4
_RESERVED: Final = 32
_WAIT_FOR_MEMORY: Final = 20.0


def claimed(state: State) -> State:
    """Give the state with part numbers reserved for one more writer."""
    return replace(state, next_number=state.next_number + _RESERVED_AT_FIRST)


class Resources:
    """What all uploads of a process share: memory in MiB, and threads that send parts."""

    def __init__(self, memory: int, threads: int) -> None:
        self.memory = Segments(memory)
        self.senders = ThreadPoolExecutor(threads, thread_name_prefix="sender")


def _exclusive(
    method: Callable[Concatenate[S3Upload, P], R],
) -> Callable[Concatenate[S3Upload, P], R]:
    """Keep a request that gave up from taking the memory of a thread that still writes for it."""

    @functools.wraps(method)
    def run(upload: S3Upload, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with upload.lock:
            return method(upload, *args, **kwargs)

    return run


class S3Upload:
    """Holds the claim in the upload's row from the beginning to `close`."""

    def __init__(
        self, bucket: Bucket, resources: Resources, key: str, row: UploadRow, state: State
    ) -> None:
        """`state` is the row's from before it was `claimed`."""
        self.lock = threading.RLock()
        self._is_closed = False
        self._bucket = bucket
        self._senders = resources.senders
        self._sending: Future[Part] | None = None
        self._key = key
        self._row = row
        self._counted = state
        self._state = state
        self._reserved = state.next_number + _RESERVED_AT_FIRST
        self._buffer = Buffer(resources.memory)
        self._written_tails: list[str] = []

    @_exclusive
    def start(self, size: int) -> None:
        if self._counted.size != size:
            raise FileNotFoundError("the upload has other bytes than its row counts")
        self._discard()
        self._state = self._without_uncounted()

    @_exclusive
    def write(self, data: Bytes) -> None:
        if self._state.is_sealed or self._is_closed:
            raise FileNotFoundError("the upload takes no more bytes")
        view = memoryview(data)
        if view:
            self._row.renew()
            self._take_up_tail()
        while view:
            view = view[self._gather(view) :]
            if self._buffer.size >= _GATHERED:
                self._put_part(self._buffer.split(_PART))

    @_exclusive
    def sync(self) -> Kept:
        if self._buffer.size:
            is_one_of_many = self._has_parts and self._is_enough()
            if is_one_of_many or self._buffer.size >= _SINGLE:
                self._put_part(self._buffer.split(self._buffer.size))
            else:
                self._put_tail()
        self._settle()
        tails = {self._counted.tail, *self._written_tails} - {"", self._state.tail}
        return Kept(self._state.packed(), tuple(sorted(tails)))

    @_exclusive
    def read_back(self) -> BinaryIO:
        if self._state.parts:
            self.seal()
            self._bucket.complete(self._state.target, self._state.multipart, self._state.parts)
            return self._bucket.get(self._state.target)
        if not self._state.tail:
            self._put_tail()
        return self._bucket.get(self._state.tail)

    @_exclusive
    def seal(self) -> bytes:
        if not self._state.parts:
            if not self._state.tail:
                self._put_tail()  # of no bytes
            return self._state.packed()
        if not self._state.is_sealed:
            tail = self._state.tail
            if self._state.tail_size:
                self._take_up_tail()
                self._put_part(self._buffer.split(self._buffer.size))
                self._settle()
            # In the row before the store hears of it: a writer with another idea of what the
            # parts are must not come between.
            self._state = replace(self._state, tail=tail, is_sealed=True)
            self._row.keep(self._state.packed())
            self._counted = self._state
        return self._state.packed()

    @_exclusive
    def close(self) -> None:
        self._is_closed = True
        self._discard()
        with contextlib.suppress(StoreUnavailable, StorageFull):
            if self._row.release(self._without_uncounted().packed()):
                # The claim was still there, so these never counted and never will.
                for tail in self._written_tails:
                    self._bucket.delete(tail)
        self._written_tails = []

    def _without_uncounted(self) -> State:
        """Give what the row counts; the part numbers used stay used."""
        return replace(
            self._counted,
            multipart=self._state.multipart,
            target=self._state.target,
            next_number=self._state.next_number,
        )

    def _new_key(self) -> str:
        return f"{self._key}.{secrets.token_hex(8)}"

    def _gather(self, view: memoryview) -> int:
        """Copy some of the bytes into memory; give how many."""
        count = self._buffer.put(view, 0)
        if not count and self._is_enough():
            # Memory is short: go on with a smaller part.
            self._put_part(self._buffer.split(self._buffer.size))
        count = count or self._buffer.put(view, _WAIT_FOR_MEMORY)
        if not count:
            raise BusyError
        return count

    @property
    def _has_parts(self) -> bool:
        return self._sending is not None or bool(self._state.parts)

    def _is_enough(self) -> bool:
        """Tell whether what is in memory may be a part with others behind it."""
        is_early = self._state.next_number <= _SMALL_PARTS
        return self._buffer.size >= (_SMALLEST_PART if is_early else _SMALLEST_LATE_PART)

    def _put_part(self, buffer: Buffer) -> None:
        """Begin to send a part, once the one before has arrived."""
        try:
            self._settle()
            number = self._take_number()
        except BaseException:
            buffer.clear()
            raise
        self._sending = self._senders.submit(self._send, self._state, number, buffer)

    def _send(self, state: State, number: int, buffer: Buffer) -> Part:
        try:
            return self._bucket.put_part(state.target, state.multipart, number, buffer.pieces())
        finally:
            buffer.clear()

    def _settle(self) -> None:
        """Wait until the part under way has arrived; raises what it failed with."""
        sending, self._sending = self._sending, None
        if sending is not None:
            part = sending.result()
            self._state = replace(self._state, parts=(*self._state.parts, part))

    def _discard(self) -> None:
        self._buffer.clear()
        sending, self._sending = self._sending, None
        if sending is not None:
            wait([sending])

    def _take_number(self) -> int:
        """Give a part number that nobody else uses, beginning the multipart upload if need be."""
        state = self._state
        number = state.next_number
        if number > _MOST_PARTS:
            raise LimitExceeded(f"An upload can have at most {_MOST_PARTS} parts in the store")
        if not state.multipart:
            target = self._new_key()
            state = replace(state, multipart=self._bucket.begin(target), target=target)
        # The number is used up whatever becomes of the request.
        self._state = replace(state, next_number=number + 1)
        if number >= self._reserved:
            self._reserved = number + _RESERVED
            kept = replace(self._without_uncounted(), next_number=self._reserved)
            self._row.keep(kept.packed())
        return number

    def _put_tail(self) -> None:
        key = self._new_key()
        self._written_tails.append(key)
        self._bucket.put(key, self._buffer.pieces())
        self._state = replace(self._state, tail=key, tail_size=self._buffer.size)
        self._buffer.clear()

    def _take_up_tail(self) -> None:
        """Bring the tail's bytes into memory; its object stays until others count instead."""
        if not self._state.tail_size:
            return
        tail, missing = self._state.tail, self._state.tail_size
        self._state = replace(self._state, tail="", tail_size=0)
        with self._bucket.get(tail) as source:
            while piece := source.read(MIB):
                missing -= len(piece)
                view = memoryview(piece)
                while view:
                    view = view[self._gather(view) :]
        if missing:
            raise FileNotFoundError("the upload's tail has not as many bytes as its row says")
