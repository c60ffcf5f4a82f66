"""Where synchronous work runs: operations in one pool of threads, socket hand-offs in another."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from ecrate.store.database import MustWaitError
from ecrate.web.writes import Writes

T = TypeVar("T")

OPERATION_THREADS: Final = 16
HANDOFF_THREADS: Final = 16


class Threads:
    """The pools of one worker process. `handoff_slots` counts the threads free for hand-offs.

    `reads_here`: a few indexed reads take less time than it takes to ask another thread.
    `writes`: short writes are done here as well, and are durable together.
    `keeps_context`: what runs in a thread knows the request it is for (traces need that).
    """

    def __init__(
        self,
        *,
        reads_here: bool = True,
        writes: Writes | None = None,
        keeps_context: bool = False,
    ) -> None:
        self._reads_here = reads_here
        self._writes = writes
        self._keeps_context = keeps_context
        self._operations = ThreadPoolExecutor(OPERATION_THREADS, thread_name_prefix="operation")
        self._handoffs = ThreadPoolExecutor(HANDOFF_THREADS, thread_name_prefix="handoff")
        self.handoff_slots = HANDOFF_THREADS
        self.is_stopping = False

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a synchronous function in an operation thread."""
        loop = asyncio.get_running_loop()
        if self._keeps_context:
            function = functools.partial(contextvars.copy_context().run, function)
        return await loop.run_in_executor(self._operations, function, *arguments)

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """Run an operation of a few indexed reads where it takes the least time."""
        return function(*arguments) if self._reads_here else await self.run(function, *arguments)

    async def write(self, function: Callable[..., T], *arguments: object) -> T:
        """Run an operation that is a short write, and nothing besides, where it takes the least
        time; where it finds that it is not (`Database.check_may_wait`), in a thread.
        """
        if self._writes is not None:
            with contextlib.suppress(MustWaitError):
                return await self._writes.run(function, *arguments)
        return await self.run(function, *arguments)

    async def look(self, function: Callable[..., T], *arguments: object) -> T:
        """Run an operation of a few indexed reads, and hardly ever a short write besides."""
        if self._writes is not None:
            with contextlib.suppress(MustWaitError):
                return self._writes.look(function, *arguments)
        return await self.run(function, *arguments)

    async def run_handoff(self, function: Callable[[], T]) -> T:
        """Run a socket hand-off; the caller has seen a free slot just before."""
        self.handoff_slots -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._handoffs, function)
        finally:
            self.handoff_slots += 1

    def stop(self) -> None:
        """End both pools; hand-offs under way give up within a second."""
        self.is_stopping = True
        self._operations.shutdown(wait=True)
        self._handoffs.shutdown(wait=True)
        if self._writes is not None:
            self._writes.stop()
