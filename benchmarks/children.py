"""The load in a process of its own, so that neither its GIL nor its CPU is the measurement's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Generic, Self, TypeVar

T = TypeVar("T")
_FORK = multiprocessing.get_context("fork")


class Child(Generic[T]):
    """Runs `job` in a forked process while a block runs; `result` waits for what it gives."""

    def __init__(self, job: Callable[[], T]) -> None:
        self._pipe, theirs = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_run, args=(job, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()

    def is_done(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the end."""
        return self._pipe.poll(within)

    def result(self) -> T:
        """Give what the job returned; raises `RuntimeError` with its traceback if it failed."""
        try:
            is_good, given = self._pipe.recv()
        except EOFError:
            raise RuntimeError("the load's process died") from None
        if not is_good:
            raise RuntimeError(f"in the load's process:\n{given}")
        result: T = given
        return result


def in_child(job: Callable[[], T]) -> T:
    """Run a job in a forked process and give its result."""
    with Child(job) as child:
        result = child.result()
        child.is_done(within=5)  # the end of the pipe: the process is over
        return result


def _run(job: Callable[[], T], pipe: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    try:
        pipe.send((True, job()))
    except BaseException:  # noqa: BLE001 - told to the parent, which raises it
        pipe.send((False, traceback.format_exc()))
    pipe.close()
    os._exit(0)
