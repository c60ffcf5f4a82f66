"""Clients that wait for what is fetched from upstream, and layers that are sent as they come."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Hashable, Mapping
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

from aiohttp.web import BaseRequest, Response, StreamResponse

from ecrate.operations.pull_through.fetches import Fetch, Waited, Waiting
from ecrate.web.files import begin_answer

T = TypeVar("T")

_LOG: Final = logging.getLogger("ecrate")
_PIECE: Final = 1024 * 1024
_TICK: Final = 0.02
_LONGEST_TICK: Final = 0.2


async def wait_and_repeat(waiting: Waiting, repeat: Callable[[Waited], Awaitable[T]]) -> T:
    """Wait for the fetches that a call needs and make it again, as often as it needs more."""
    waited: dict[Hashable, Fetch] = {}
    while True:
        # Not cancelled with the client that waits: the others do as well.
        await asyncio.wait([asyncio.wrap_future(one.ended) for one in waiting.fetches])
        waited |= {one.key: one for one in waiting.fetches}
        try:
            return await repeat(waited)
        except Waiting as more:
            waiting = more


class GrowingLayer:
    """The file of a layer under way, as far as it has come."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch = fetch
        self._path: Path | None = None
        self._file: BinaryIO | None = None

    async def has_begun(self) -> bool:
        """Wait for the first byte. False when the layer is stored by now; raises what keeps it
        from coming.
        """
        tick = _TICK
        while not self._size():
            if self.fetch.is_over:
                if self.fetch.error is not None:
                    raise self.fetch.error
                return False
            await asyncio.sleep(tick)
            tick = min(tick * 1.5, _LONGEST_TICK)
        return True

    def read(self, at: int, stop: int) -> bytes:
        """Give bytes from `at` on that have come. The last byte of all is held back until the
        digest is known to be right: so no client gets the whole of a wrong layer.
        """
        is_right = self.fetch.is_over and self.fetch.error is None
        there = min(self._size(), stop, self.fetch.size - (0 if is_right else 1))
        if self._file is None or there <= at:
            return b""
        return os.pread(self._file.fileno(), min(_PIECE, there - at), at)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _size(self) -> int:
        if self.fetch.spool is not None and self._path != self.fetch.spool:
            # Another attempt may have taken over from one that died; its bytes are the same.
            try:
                opened = cast("BinaryIO", self.fetch.spool.open("rb", buffering=0))
            except FileNotFoundError:
                opened = None
            if opened is not None:
                self.close()
                self._file, self._path = opened, self.fetch.spool
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size


async def send_growing(
    request: BaseRequest, layer: GrowingLayer, etag: str, headers: Mapping[str, str]
) -> StreamResponse:
    """Answer a GET with the bytes of a layer as they come, whole or a range of them."""
    response, at, stop = begin_answer(request, layer.fetch.size, etag, headers)
    if isinstance(response, Response):
        return response
    await response.prepare(request)
    tick = _TICK
    while at < stop:
        is_over = layer.fetch.is_over
        piece = layer.read(at, stop)
        if piece:
            await response.write(piece)
            at += len(piece)
            tick = _TICK
        elif is_over:
            # An answer that has begun can only be cut off.
            _LOG.error("a layer was cut off: %s", layer.fetch.error or "its file went")
            raise ConnectionAbortedError
        elif request.transport is None or request.transport.is_closing():
            raise ConnectionAbortedError
        else:
            await asyncio.sleep(tick)
            tick = min(tick * 1.5, _LONGEST_TICK)
    await response.write_eof()
    return response
