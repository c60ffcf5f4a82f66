"""A layer's tar archive, plain or compressed, read as it streams.

Source: image-spec 1.1, layer.md, "Applying Changesets" and "Whiteouts".
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import posixpath
import sys
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, Final, Self

from typing_extensions import override

MIB: Final = 1024 * 1024
WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"
_LONGEST_HEADER: Final = MIB
_EXTENDED: Final = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

Member = tuple[tarfile.TarInfo, IO[bytes] | None]


class LayerError(Exception):
    """The bytes are no layer; `str()` says why."""


class TooLargeError(LayerError):
    """The layer unpacks to more bytes than are read."""


def read_members(raw: io.RawIOBase, most_bytes: int | None = None) -> Iterator[Member]:
    """Give the members in order, each file with its content, to be read before the next one.

    To be used within `layer_errors`: bytes come as they are asked for.
    """
    unpacked: Any = _unpacked(io.BufferedReader(raw, MIB))
    if most_bytes is not None:
        unpacked = _Bounded(unpacked, most_bytes)
    plain = io.BufferedReader(unpacked, MIB)
    if not plain.peek(1):
        return
    with tarfile.open(fileobj=plain, mode="r|", tarinfo=_BoundedHeader) as archive:
        for member in archive:
            yield member, archive.extractfile(member) if member.isreg() else None
            archive.members = []  # type: ignore[attr-defined] # or each header would be kept


@contextlib.contextmanager
def layer_errors() -> Iterator[None]:
    """Turn all that reading hostile archives raises into `LayerError`, and `TooLargeError` where
    one unpacks to too much.
    """
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise LayerError(f"it is no tar archive: {error}") from None
    except Exception as error:
        # zstd's error has its class in a module that only some Pythons have.
        if type(error).__name__ != "ZstdError":
            raise
        raise LayerError(f"it is no tar archive: {error}") from None


def path_of(name: str) -> str:
    """Give a member's path from the root on, without a slash in front."""
    return posixpath.normpath(f"/{name}").lstrip("/")


class _BoundedHeader(tarfile.TarInfo):
    """Refuses headers of headers that would fill the memory."""

    @classmethod
    @override
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        made = super().frombuf(buf, encoding, errors)
        if made.type in _EXTENDED and made.size > _LONGEST_HEADER:
            raise tarfile.HeaderError(f"a header of {made.size} bytes")
        return made


class _Bounded(io.RawIOBase):
    """Ends the reading of what unpacks to too much."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        super().__init__()
        self._file = file
        self._room = most_bytes

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # as wide
        data = self._file.read(len(buffer))
        self._room -= len(data)
        if self._room < 0:
            raise TooLargeError("it unpacks to too many bytes")
        buffer[: len(data)] = data
        return len(data)


def _unpacked(file: Any) -> Any:
    """Unpack a buffered file while it is read, as its first bytes say."""
    start = file.peek(len(_ZSTD))
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if not start.startswith(_ZSTD):
        return file
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return importlib.import_module(name).ZstdFile(file)
