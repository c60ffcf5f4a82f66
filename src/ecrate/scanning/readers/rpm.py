"""rpm's headers: a package each, in any of the databases of `rpm_databases`.

Source: rpm's documentation, "RPM V4 Package format", "Header structure": a count of index entries,
a count of data bytes (both 32 bits, big-endian), entries of tag, type, offset and count, the data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from ecrate.scanning.inventory import Package, is_word

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_ARCHITECTURE, _SOURCE_RPM = 1022, 1044
_DIRECTORY_INDEXES, _BASE_NAMES, _DIRECTORIES = 1116, 1117, 1118
_INT32, _STRING, _STRINGS, _LOCAL_STRINGS = 4, 6, 8, 9
_ENTRY: Final = struct.Struct(">IIII")
_MOST_ENTRIES: Final = 65_536
_OTHERS: Final = ("METADATA", "PKG-INFO", ".egg-info", "package.json", ".jar", ".war", ".ear")


def read_header(header: bytes, path: str) -> tuple[Package | None, Iterable[str]]:
    """Give the package, None for what is none (a key), and files of it that others may read."""
    tags = _Tags(header)
    name, version, release = (tags.text(tag) for tag in (_NAME, _VERSION, _RELEASE))
    if not is_word(name, version, release) or name == "gpg-pubkey":
        return None, ()
    epoch = tags.numbers(_EPOCH)
    full = f"{version}-{release}"
    source, source_version = _source(tags.text(_SOURCE_RPM))
    prefix = f"{epoch[0]}:" if epoch and epoch[0] else ""
    package = Package(
        "rpm",
        name,
        prefix + full,
        path,
        architecture=tags.text(_ARCHITECTURE),
        source=source if source != name else "",
        source_version=prefix + source_version if source and source_version != full else "",
    )
    return package, tags.files()


def _source(file_name: str) -> tuple[str, str]:
    """Split `NAME-VERSION-RELEASE.src.rpm` into name, and version with release."""
    stem = file_name.removesuffix(".rpm").rpartition(".")[0]
    name, _, release = stem.rpartition("-")
    name, _, version = name.rpartition("-")
    return (name, f"{version}-{release}") if is_word(name, version, release) else ("", "")


class _Tags:
    """The index of a header; whatever points out of it is as if it were not there."""

    def __init__(self, header: bytes) -> None:
        self._index: dict[int, tuple[int, int, int]] = {}
        self._data = b""
        if len(header) < 8:  # noqa: PLR2004 - the two counts
            return
        count, size = struct.unpack_from(">II", header)
        start = 8 + count * _ENTRY.size
        if count > _MOST_ENTRIES or start + size > len(header):
            return
        self._data = header[start : start + size]
        for tag, kind, offset, number in _ENTRY.iter_unpack(header[8:start]):
            self._index[tag] = (kind, offset, number)

    def text(self, tag: int) -> str:
        return next(iter(self._texts(tag, 1)), "")

    def _texts(self, tag: int, most: int | None = None) -> list[str]:
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        if kind not in (_STRING, _STRINGS, _LOCAL_STRINGS) or offset > len(self._data):
            return []
        wanted = min(count, len(self._data)) if most is None else most
        pieces = self._data[offset:].split(b"\0", wanted)
        return [piece.decode("utf-8", "replace") for piece in pieces[:wanted]]

    def numbers(self, tag: int) -> tuple[int, ...]:
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        if kind != _INT32 or offset + 4 * count > len(self._data):
            return ()
        return struct.unpack_from(f">{count}I", self._data, offset)

    def files(self) -> list[str]:
        names, places = self._texts(_BASE_NAMES), self.numbers(_DIRECTORY_INDEXES)
        if len(names) != len(places):
            return []
        folders = self._texts(_DIRECTORIES)
        return [
            f"{folders[place]}{name}".lstrip("/")
            for name, place in zip(names, places, strict=True)
            if name.endswith(_OTHERS) and place < len(folders)
        ]
