"""The process that reads layers: no network, no database, no secrets, little memory.

It is told on standard input and answers on standard output, as `protocol` says. Run
as `python -m ecrate.scanning.child`.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from typing import BinaryIO, Final

import msgspec
from typing_extensions import override

from ecrate.scanning.archive import LayerError, TooLargeError
from ecrate.scanning.overlay import Overlay, TooManyError
from ecrate.scanning.protocol import Failure, Head, Start

MEMORY: Final = 1024 * 1024 * 1024
CPU_SECONDS: Final = 3600
_NICE: Final = 10
_PIECE: Final = 1024 * 1024


class _Part(io.RawIOBase):
    """The next `size` bytes of a stream."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        super().__init__()
        self._source = source
        self._left = size

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # as wide
        data = self._source.read(min(len(buffer), self._left, _PIECE))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def finish(self) -> None:
        """Read what is behind the archive."""
        while self._left and (data := self._source.read(min(self._left, _PIECE))):
            self._left -= len(data)


def main() -> int:
    """Read layers from standard input until its end."""
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = msgspec.json.encode(_read(sys.stdin.buffer))
    sys.stdout.buffer.write(answer)
    return 0


def _read(source: BinaryIO) -> object:
    start = msgspec.json.decode(source.readline(), type=Start)
    overlay = Overlay(start.most_bytes)
    try:
        while line := source.readline():
            head = msgspec.json.decode(line, type=Head)
            part = _Part(source, head.size)
            try:
                overlay.add(part, head.digest)
            except TooLargeError as error:
                return Failure("TOO_LARGE", f"layer {head.digest}: {error}")
            except LayerError as error:
                return Failure("UNREADABLE", f"layer {head.digest}: {error}")
            part.finish()
        return overlay.inventory()
    except TooManyError as error:
        return Failure("TOO_LARGE", str(error))
    except MemoryError:
        return Failure("MEMORY", f"it takes more than {MEMORY} bytes of memory to read")


if __name__ == "__main__":
    sys.exit(main())
