"""Files of a directory or a tar archive, by name, for several readers at once.

A compressed archive is unpacked into a temporary file first, since layers are read from the
middle and more than once. Nothing is ever extracted under the names the archive gives.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import posixpath
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from typing_extensions import override

from ecrate.cli.failures import CommandError

MIB: Final = 1024 * 1024
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_XZ: Final = b"\xfd7zXZ\x00"
_MOST_LINKS: Final = 10


class FileSource(Protocol):
    """Files by their names, with `/` between the parts."""

    description: str

    def size(self, name: str) -> int | None:
        """Give the size of a file, None where there is none."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for a reader of its own; raises `CommandError` where there is none."""


class DirectorySource:
    """The files below a directory."""

    def __init__(self, root: Path) -> None:
        self.description = str(root)
        self._root = root.resolve()

    def size(self, name: str) -> int | None:
        path = self._path(name)
        return None if path is None else path.stat().st_size

    def open(self, name: str) -> BinaryIO:
        path = self._path(name)
        if path is None:
            raise _missing(self, name)
        return path.open("rb")

    def _path(self, name: str) -> Path | None:
        # Names come from files we were given: they must not lead elsewhere.
        path = (self._root / name).resolve()
        return path if path.is_relative_to(self._root) and path.is_file() else None


class TarSource:
    """The files in an uncompressed tar archive."""

    def __init__(self, file: BinaryIO, description: str) -> None:
        self.description = description
        self._file = file
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    self._members[_normal(member.name)] = member
        except tarfile.TarError as error:
            raise CommandError(f"{description} is no tar archive: {error}") from None

    def size(self, name: str) -> int | None:
        member = self._member(name)
        return None if member is None else member.size

    def open(self, name: str) -> BinaryIO:
        member = self._member(name)
        if member is None:
            raise _missing(self, name)
        window = _Window(self._file.fileno(), member.offset_data, member.size)
        return io.BufferedReader(window, MIB)

    def _member(self, name: str) -> tarfile.TarInfo | None:
        name = _normal(name)
        # Older `docker save` writes a layer that is there twice as a link to the first.
        for _ in range(_MOST_LINKS):
            member = self._members.get(name)
            if member is None or (member.isreg() and not member.issparse()):
                return member
            if member.issym():
                name = _normal(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                name = _normal(member.linkname)
            else:
                return None
        return None


class _Window(io.RawIOBase):
    """A part of a file, read by position, so that readers do not disturb each other."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._start = start
        self._size = size
        self._at = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    @override
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # as wide
        wanted = min(len(buffer), max(0, self._size - self._at))
        data = os.pread(self._descriptor, wanted, self._start + self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextlib.contextmanager
def open_source(path: str) -> Iterator[FileSource]:
    """Open a directory, a tar archive (compressed or not), or `-` for one on standard input."""
    if path == "-":
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool, MIB)
            with _unpacked(spool, "standard input") as plain:
                yield TarSource(plain, "standard input")
    elif Path(path).is_dir():
        yield DirectorySource(Path(path))
    else:
        try:
            file = Path(path).open("rb")  # noqa: SIM115 - closed below; only opening is guarded
        except OSError as error:
            raise CommandError(f"Cannot read {path}: {error.strerror}") from None
        with file, _unpacked(file, path) as plain:
            yield TarSource(plain, path)


@contextlib.contextmanager
def _unpacked(file: BinaryIO, description: str) -> Iterator[BinaryIO]:
    file.seek(0)
    start = file.read(len(_XZ))
    file.seek(0)
    if start.startswith(_ZSTD):
        raise CommandError(
            f"{description} is compressed with zstd; unpack it first: zstd -d {description}"
        )
    openers: dict[bytes, Callable[[BinaryIO], Any]] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": bz2.open,
        _XZ: lzma.open,
    }
    opener = next((each for magic, each in openers.items() if start.startswith(magic)), None)
    if opener is None:
        yield file
        return
    with tempfile.TemporaryFile() as unpacked:
        try:
            with opener(file) as reader:
                shutil.copyfileobj(reader, unpacked, MIB)
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise CommandError(f"Cannot unpack {description}: {error}") from None
        unpacked.seek(0)
        yield unpacked


def _normal(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _missing(source: FileSource, name: str) -> CommandError:
    return CommandError(f"{source.description} is incomplete: it has no file {name}")
