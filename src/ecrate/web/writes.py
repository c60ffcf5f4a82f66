"""Short writes, done on the event loop one after the other, one commit for those of a round.

A thread for each write cost 150 to 250 of its 500 to 700 microseconds of CPU: the way there and
back, and what threads do to each other's turns in the interpreter. Only what waits is done by a
thread: the commit, and the turn among processes where another has it. What comes meanwhile makes
the next round.

    loop:    begin, write, write, write            answer, answer, answer, begin, ...
    thread:                            commit ----'

A request that is alone commits on the loop too, as nobody waits for that, while commits are fast:
the thread would take 100 to 200 microseconds more.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from ecrate.store.database import Gathering

T = TypeVar("T")

# The first of them should not wait for ever, nor should reads, which the loop answers as well.
_ROUND: Final = 32
# Seconds for which a request that comes meanwhile may be kept waiting, and how many commits are the
# thread's after one that took longer.
_FAST_COMMIT: Final = 0.01
_WARY: Final = 16


class _Write(NamedTuple):
    answer: asyncio.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[object, ...]


class _Done(NamedTuple):
    answer: asyncio.Future[Any]
    result: Any
    error: Exception | None


class Writes:
    """The short writes of one worker; `is_alone` tells whether it has no more than one request."""

    def __init__(self, gathering: Gathering, is_alone: Callable[[], bool]) -> None:
        self._gathering = gathering
        self._is_alone = is_alone
        self._wary = 0
        self._waiting: deque[_Write] = deque()
        self._is_at_work = False
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that writes and give what it gave, once that is durable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Write(answer, function, arguments))
        if not self._is_at_work:
            self._is_at_work = True
            if self._is_alone():
                self._begin(loop)
            else:
                # Whoever else was ready in this turn of the loop joins the round.
                loop.call_soon(self._begin, loop)
        return await answer

    def look(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function that hardly ever writes; raises `MustWaitError` where it would."""
        return self._gathering.look(function, *arguments)

    def stop(self) -> None:
        """End the thread; nobody waits for an answer any more."""
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            if self._gathering.try_begin():
                self._write(loop)
            else:
                self._order(loop, self._gathering.begin, self._begun)
        except Exception as error:  # noqa: BLE001 - it is the writers' to see
            self._begun(loop, error)

    def _begun(self, loop: asyncio.AbstractEventLoop, failure: Exception | None) -> None:
        if failure is None:
            self._write(loop)
            return
        waiting, self._waiting = self._waiting, deque()
        self._answer(loop, [_Done(one.answer, None, failure) for one in waiting], None)

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        done: list[_Done] = []
        while self._waiting and len(done) < _ROUND:
            answer, function, arguments = self._waiting.popleft()
            try:
                result = self._gathering.run(function, *arguments)
            except Exception as error:  # noqa: BLE001 - it is the writer's to see
                done.append(_Done(answer, None, error))
            else:
                done.append(_Done(answer, result, None))
        if len(done) == 1 and not self._wary and self._is_alone():
            began = time.perf_counter()
            failure = _failure_of(self._gathering.commit)
            self._wary = _WARY if time.perf_counter() - began > _FAST_COMMIT else 0
            self._answer(loop, done, failure)
        else:
            self._wary = max(self._wary - 1, 0)
            self._order(
                loop,
                self._gathering.commit,
                lambda loop, failure: self._answer(loop, done, failure),
            )

    def _answer(
        self, loop: asyncio.AbstractEventLoop, done: list[_Done], failure: Exception | None
    ) -> None:
        for answer, result, error in done:
            if answer.done():
                continue  # whoever asked is gone
            problem = error or failure
            if problem is None:
                answer.set_result(result)
            else:
                answer.set_exception(problem)
        if self._waiting:
            loop.call_soon(self._begin, loop)
        else:
            self._is_at_work = False

    def _order(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], None],
        then: Callable[[asyncio.AbstractEventLoop, Exception | None], None],
    ) -> None:
        """Let the thread do what may wait, and go on with `then` on the loop."""

        def carry_out() -> None:
            loop.call_soon_threadsafe(then, loop, _failure_of(work))

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="commits")
            self._thread.start()
        self._orders.put(carry_out)

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            order()


def _failure_of(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - it is the writers' to see
        return error
    return None
