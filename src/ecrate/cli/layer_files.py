"""The files in an image: its layers' tar archives, read as they stream, one over the other.

Source: image-spec 1.1, layer.md, "Applying Changesets" and "Whiteouts".
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from typing_extensions import override

from ecrate.cli.archive import MIB
from ecrate.cli.failures import CommandError
from ecrate.cli.manifests import Blob
from ecrate.scanning.archive import (
    OPAQUE,
    WHITEOUT,
    LayerError,
    layer_errors,
    path_of,
    read_members,
)

_MOST_FILES: Final = 5_000_000

Report = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder; `content` is a digest, a link's target, or a device's numbers.

    `mode` has the permissions only.
    """

    kind: str
    size: int
    mode: int
    owner: tuple[int, int]
    content: str


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer adds or changes, and what it takes away: paths, and folders to empty first."""

    files: dict[str, File]
    removed: frozenset[str]
    emptied: frozenset[str]


def read_layer(blob: Blob, report: Report) -> Layer:
    """Read a layer's archive; `report` is told of its bytes. Raises `CommandError`."""
    files: dict[str, File] = {}
    removed: set[str] = set()
    emptied: set[str] = set()
    with blob.open() as raw:
        counted = _Counted(raw, report)
        try:
            with layer_errors():
                for member, content in read_members(counted):
                    path = path_of(member.name)
                    folder, name = posixpath.split(path)
                    if name == OPAQUE:
                        emptied.add(folder)
                    elif name.startswith(WHITEOUT):
                        removed.add(posixpath.join(folder, name.removeprefix(WHITEOUT)))
                    elif path:
                        files[path] = _file(member, content, files)
                    if len(files) > _MOST_FILES:
                        raise CommandError(f"layer {blob.digest} has too many files")
        except LayerError as error:
            raise CommandError(f"layer {blob.digest}: {error}") from None
        counted.finish()
    return Layer(files, frozenset(removed), frozenset(emptied))


def apply_layers(layers: list[Layer]) -> dict[str, File]:
    """Give the files that remain when each layer is laid over those before."""
    files: dict[str, File] = {}
    for layer in layers:
        gone = layer.removed | {path for path in layer.files if _replaces(files, layer, path)}
        if gone or layer.emptied:
            files = {
                path: file
                for path, file in files.items()
                if path not in layer.removed and not _is_below(path, gone | layer.emptied)
            }
        files |= layer.files
    return files


def _replaces(files: dict[str, File], layer: Layer, path: str) -> bool:
    """Tell whether a folder gives way to something else, with all that was in it."""
    before = files.get(path)
    return before is not None and before.kind == "folder" != layer.files[path].kind


def _is_below(path: str, folders: frozenset[str]) -> bool:
    while path:
        path = posixpath.dirname(path)
        if path in folders:
            return True
    return False


class _Counted(io.RawIOBase):
    """Tells of each byte read, and reads to the end whatever is behind the archive."""

    def __init__(self, file: BinaryIO, report: Report) -> None:
        super().__init__()
        self._file = file
        self._report = report

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # as wide
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._report(len(data))
        return len(data)

    def finish(self) -> None:
        while data := self._file.read(MIB):
            self._report(len(data))


def _file(member: tarfile.TarInfo, content: Any, files: dict[str, File]) -> File:
    mode, owner = member.mode & 0o7777, (member.uid, member.gid)
    if content is not None:
        found = hashlib.file_digest(content, "sha256").hexdigest()
        return File("file", member.size, mode, owner, found)
    if member.isdir():
        return File("folder", 0, mode, owner, "")
    if member.issym():
        return File("link", 0, mode, owner, member.linkname)
    if member.islnk():
        # A hard link is another name of a file; one in a layer below is not in sight.
        other = files.get(path_of(member.linkname))
        return other or File("hard link", 0, mode, owner, path_of(member.linkname))
    return File("device", 0, mode, owner, f"{member.devmajor}:{member.devminor}")
