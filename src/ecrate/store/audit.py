"""The audit log: one line an event, appended to a file that several processes share.

Whoever writes holds a lock file, so that lines are whole, and none goes to a file that has just
been set aside:

    audit.log -> audit.log.1 -> audit.log.2 -> ... -> audit.log.<kept> -> gone

What the log is called may also be moved away or replaced by somebody else: the name is looked up
for each line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO


class AuditLog:
    """Appends lines; `target` is a path, or the descriptor of a stream that is never set aside.

    A file that a line would make larger than `max_size` bytes is set aside before, and the last
    `kept` of those stay; without a size none is.
    """

    def __init__(self, target: Path | int, lock: Path, *, max_size: int | None, kept: int) -> None:
        self._target = target
        self._lock_path = lock
        self._max_size = max_size
        self._kept = kept
        self._owed: deque[bytes] = deque()
        self._mutex = threading.Lock()

    @property
    def is_behind(self) -> bool:
        """Whether lines could not be written when they came."""
        return bool(self._owed)

    def read_files(self) -> Generator[BinaryIO, None, None]:
        """Give the log's files to read, the newest first; none where it is a stream."""
        if not isinstance(self._target, Path):
            return
        for number in range(self._kept + 1):
            path = Path(f"{self._target}.{number}") if number else self._target
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                yield file

    def check(self) -> None:
        """Raise `OSError` where nothing can be written, as far as that can be told."""
        with self._turn():
            if isinstance(self._target, Path):
                os.close(self._open(self._target))
                if not os.access(self._target.parent, os.W_OK):
                    raise PermissionError(None, "Files cannot be set aside in its folder")

    def append(self, line: bytes) -> None:
        """Write a line (without its end), and before it those that are owed.

        On `OSError` it is owed as well. When this returns it is written, though not synced.
        """
        with self._mutex:
            self._owed.append(line)
            self._settle()

    def settle(self) -> None:
        """Write the lines that are owed; raises `OSError`."""
        with self._mutex:
            self._settle()

    def _settle(self) -> None:
        if self._owed:
            with self._turn():
                while self._owed:
                    self._write(self._owed[0] + b"\n")
                    self._owed.popleft()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for the other processes."""
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, line: bytes) -> None:
        if not isinstance(self._target, Path):
            _write_all(self._target, line)
            return
        if self._has_no_room(self._target, len(line)):
            self._set_aside(self._target)
        file = self._open(self._target)
        size = os.fstat(file).st_size
        try:
            if size and os.pread(file, 1, size - 1) != b"\n":
                # Whoever was killed while it wrote left half a line.
                line = b"\n" + line
            _write_all(file, line)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, size)
            raise
        finally:
            os.close(file)

    def _open(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def _has_no_room(self, path: Path, more: int) -> bool:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return False
        return self._max_size is not None and size > 0 and self._max_size < size + more

    def _set_aside(self, path: Path) -> None:
        for number in range(self._kept, 0, -1):
            newer = path if number == 1 else Path(f"{path}.{number - 1}")
            with contextlib.suppress(FileNotFoundError):
                newer.replace(f"{path}.{number}")


def _write_all(file: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(file, rest) :]
