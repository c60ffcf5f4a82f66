"""Reads an image's layers in a child process: this end of its pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO, Final

import msgspec

from ecrate.scanning.inventory import Inventory
from ecrate.scanning.protocol import Failure, Head, Start

_PIECE: Final = 1024 * 1024
_POLL: Final = 5.0
_LARGEST_ANSWER: Final = 256 * 1024 * 1024
_KEPT: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "COVERAGE_PROCESS_START",
)


class ReadingError(Exception):
    """The image told nothing; `kind` is TOO_LARGE, UNREADABLE, MEMORY or CRASHED."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class LayerSource:
    """A layer's blob: `open` gives its bytes, `size` of them."""

    digest: str
    size: int
    open: Callable[[], BinaryIO]


def read_inventory(
    layers: Sequence[LayerSource], most_bytes: int, may_go_on: Callable[[], bool]
) -> Inventory:
    """Read the layers, from the base on, in a process of its own; raises `ReadingError`.

    `may_go_on` is asked with every piece; when it says no, `InterruptedError` is raised.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="ecrate-scan-") as folder:
        # What the child leaves there when it is killed goes with the folder.
        return _read(layers, most_bytes, may_go_on, environment | {"TMPDIR": folder})


def _read(
    layers: Sequence[LayerSource],
    most_bytes: int,
    may_go_on: Callable[[], bool],
    environment: dict[str, str],
) -> Inventory:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "ecrate.scanning.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    ) as child:
        answer = _Answer(child.stdout)
        try:
            # A child that has ended, whatever it says, takes no more.
            with contextlib.suppress(BrokenPipeError):
                _send(child.stdin, layers, most_bytes, may_go_on)
            while not answer.has_come(_POLL):
                _check(may_go_on)
        except BaseException:
            child.kill()
            raise
        finally:
            answer.thread.join()
    return _decode(answer.content, child.returncode)


class _Answer:
    """Takes what the child says while it is still being told."""

    def __init__(self, source: IO[bytes] | None) -> None:
        self.content = b""
        self._source = source
        self.thread = threading.Thread(target=self._take)
        self.thread.start()

    def has_come(self, seconds: float) -> bool:
        """Wait so long for the end of it; tell whether it came."""
        self.thread.join(seconds)
        return not self.thread.is_alive()

    def _take(self) -> None:
        if self._source is not None:
            self.content = self._source.read(_LARGEST_ANSWER)


def _check(may_go_on: Callable[[], bool]) -> None:
    if not may_go_on():
        raise InterruptedError


def _send(
    pipe: IO[bytes] | None,
    layers: Sequence[LayerSource],
    most_bytes: int,
    may_go_on: Callable[[], bool],
) -> None:
    if pipe is None:
        return
    try:
        pipe.write(msgspec.json.encode(Start(most_bytes)) + b"\n")
        for layer in layers:
            pipe.write(msgspec.json.encode(Head(layer.digest, layer.size)) + b"\n")
            with layer.open() as source:
                while piece := source.read(_PIECE):
                    _check(may_go_on)
                    pipe.write(piece)
    finally:
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def _decode(content: bytes, code: int | None) -> Inventory:
    try:
        if content.startswith(b'{"error"'):
            failure = msgspec.json.decode(content, type=Failure)
            raise ReadingError(failure.error, failure.reason)
        return msgspec.json.decode(content, type=Inventory)
    except msgspec.DecodeError:
        raise ReadingError("CRASHED", f"the process that reads layers ended with {code}") from None
