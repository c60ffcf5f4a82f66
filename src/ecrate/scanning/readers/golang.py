"""What Go's linker leaves in a binary about the modules it is made of.

Source: Go's debug/buildinfo, the format since Go 1.18: at a multiple of 16 bytes

    "\\xff Go buildinf:"  pointer size  flags (bit 1: strings follow here)  padding to 32 bytes
    length (varint)  Go's version  length (varint)  16 bytes, lines of modules, 16 bytes

The file streams past, so that its size does not matter. Binaries of older Gos have pointers there
instead, and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final

from ecrate.scanning.inventory import Package, is_word
from ecrate.scanning.readers.found import Found, UnreadableError

ELF: Final = b"\x7fELF"
_MAGIC: Final = b"\xff Go buildinf:"
_ALIGNMENT: Final = 16
_HEADER: Final = 32
_IS_INLINE: Final = 2
_LARGEST: Final = 4 * 1024 * 1024
_PIECE: Final = 1024 * 1024
_FRAME: Final = 16


def read_binary(file: IO[bytes], path: str) -> Found:
    """Read the modules; a binary that is not Go's tells nothing."""
    buffer, is_old = bytearray(file.read(_PIECE)), False
    while buffer:
        start = buffer.find(_MAGIC)
        if start < 0:
            keep = len(_MAGIC) - 1
            piece = file.read(_PIECE)
            if not piece:
                break
            # The alignment is that of the file: what is dropped is a multiple of it.
            del buffer[: max(len(buffer) - keep, 0) // _ALIGNMENT * _ALIGNMENT]
            buffer += piece
            continue
        if start % _ALIGNMENT == 0:
            _fill(file, buffer, start + _HEADER)
            if len(buffer) >= start + _HEADER and buffer[start + 15] & _IS_INLINE:
                _fill(file, buffer, start + _HEADER + _LARGEST)
                found = _read(bytes(buffer[start + _HEADER :]), path)
                if found is not None:
                    return found
            else:
                is_old = True
        del buffer[: (start // _ALIGNMENT + 1) * _ALIGNMENT]
        if not buffer:
            buffer += file.read(_PIECE)
    if is_old:
        raise UnreadableError("built by a Go older than 1.18, whose modules are not read")
    return Found()


def _fill(file: IO[bytes], buffer: bytearray, size: int) -> None:
    while len(buffer) < size:
        piece = file.read(_PIECE)
        if not piece:
            return
        buffer += piece


def _read(data: bytes, path: str) -> Found | None:
    version, rest = _text(data)
    lines, _ = _text(rest)
    if version is None or lines is None or not version.startswith(b"go"):
        return None
    go = version.decode("ascii", "replace").split()[0].removeprefix("go")
    packages = [Package("golang", "stdlib", go, path)]
    packages += _modules(lines[_FRAME:-_FRAME].decode("utf-8", "replace"), path)
    return Found(tuple(one for one in packages if is_word(one.name, one.version)))


def _modules(text: str, path: str) -> Iterator[Package]:
    """Give the modules of `mod` and `dep` lines, each as what replaces it (`=>`), if anything."""
    module: Package | None = None
    for line in text.split("\n"):
        kind, *words = line.split("\t")
        if kind not in ("mod", "dep", "=>") or len(words) < 2:  # noqa: PLR2004 - name, version
            continue
        if module is not None and kind != "=>":
            yield module
        module = Package("golang", words[0], words[1], path)
        if words[1] == "(devel)":
            module = None
    if module is not None:
        yield module


def _text(data: bytes) -> tuple[bytes | None, bytes]:
    """Give a text behind its length, and the rest."""
    length = shift = 0
    for place, byte in enumerate(data[:5]):
        length |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            start = place + 1
            if length > _LARGEST or len(data) < start + length:
                return None, b""
            return data[start : start + length], data[start + length :]
        shift += 7
    return None, b""
