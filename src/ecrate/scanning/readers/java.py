"""Java archives: what Maven leaves in them, else what manifest and file name say, and the archives
inside.

Sources: Maven's archiver (META-INF/maven/.../pom.properties); the JAR file specification.
"""

from __future__ import annotations

import io
import posixpath
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, Final

from ecrate.scanning.inventory import Package, is_word
from ecrate.scanning.readers.found import Found, UnreadableError, read_lines

ARCHIVES: Final = (".jar", ".war", ".ear", ".par", ".sar", ".jpi", ".hpi")
_LARGEST: Final = 1024 * 1024 * 1024
_IN_MEMORY: Final = 4 * 1024 * 1024
_PIECE: Final = 1024 * 1024
_DEPTH: Final = 4
_MOST_MEMBERS: Final = 200_000
_MOST_NESTED: Final = 2_000
_PROPERTIES: Final = 64 * 1024
_MANIFEST: Final = 1024 * 1024
_FILE_NAME: Final = re.compile(r"(?P<name>.+?)-(?P<version>\d[\w.+-]*)")
_GROUP: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")


class _TooLargeError(UnreadableError):
    """There is no more room for anything in the file."""


class _Room:
    """How much all archives in a file may still unpack to, and how many they may be."""

    def __init__(self, limit: int) -> None:
        self.limit = self.bytes = limit
        self.archives = _MOST_NESTED

    def take(self, size: int) -> None:
        self.bytes -= size
        if self.bytes < 0:
            raise _TooLargeError(f"larger than {self.limit} bytes")


def read_archive(file: IO[bytes], path: str, limit: int = _LARGEST) -> Found:
    """Read the packages of an archive and of those in it, of `limit` bytes together."""
    room = _Room(limit)
    with _spooled(file, room) as whole:
        return Found(tuple(_packages(whole, path, path, room, _DEPTH)))


def _spooled(file: IO[bytes], room: _Room) -> IO[bytes]:
    """Give the bytes where they can be read in any order."""
    spooled = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        while piece := file.read(_PIECE):
            room.take(len(piece))
            spooled.write(piece)
    except BaseException:
        spooled.close()
        raise
    spooled.seek(0)
    return spooled


def _packages(file: IO[bytes], path: str, name: str, room: _Room, depth: int) -> Iterator[Package]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise UnreadableError(f"more than {_MOST_MEMBERS} members")
            yield from _own_packages(archive, members, path, name)
            for member in members:
                if member.filename.endswith(ARCHIVES) and depth:
                    room.archives -= 1
                    if room.archives < 0:
                        raise _TooLargeError(f"more than {_MOST_NESTED} archives inside")
                    inside = f"{path}!/{member.filename}"[:4096]
                    with archive.open(member) as packed, _spooled(packed, room) as inner:
                        yield from _inner_packages(inner, inside, member.filename, room, depth - 1)
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
        *(ValueError, OSError, UnicodeError, OverflowError),
    ) as error:
        raise UnreadableError(f"no archive: {error}") from None


def _inner_packages(
    file: IO[bytes], path: str, name: str, room: _Room, depth: int
) -> Iterator[Package]:
    """Give what an archive inside has; a broken one does not take the others with it."""
    try:
        yield from _packages(file, path, name, room, depth)
    except _TooLargeError:
        raise
    except UnreadableError:
        return


def _own_packages(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], path: str, name: str
) -> Iterator[Package]:
    told = False
    for member in members:
        if member.filename.startswith("META-INF/maven/") and member.filename.endswith(
            "/pom.properties"
        ):
            fields = _fields(archive, member, "=", _PROPERTIES)
            words = [fields.get(each, "") for each in ("groupId", "artifactId", "version")]
            if is_word(*words):
                told = True
                yield Package("maven", f"{words[0]}:{words[1]}", words[2], path)
    if told:
        return
    manifest = next((one for one in members if one.filename == "META-INF/MANIFEST.MF"), None)
    fields = {} if manifest is None else _fields(archive, manifest, ":", _MANIFEST)
    package = _guess(fields, name, path)
    if package is not None:
        yield package


def _guess(fields: dict[str, str], name: str, path: str) -> Package | None:
    """Give what a manifest and a file's name say together; None where that is too little.

    Without its group nothing can be looked up, so the bundle's name has to begin with one.
    """
    stem = posixpath.splitext(posixpath.basename(name))[0]
    parts = _FILE_NAME.fullmatch(stem)
    artifact = parts["name"] if parts else stem
    version = (
        parts["version"]
        if parts
        else fields.get("Implementation-Version", "") or fields.get("Bundle-Version", "")
    )
    bundle = fields.get("Bundle-SymbolicName", "").partition(";")[0].strip()
    group = fields.get("Implementation-Vendor-Id", "") or bundle.removesuffix(f".{artifact}")
    if not is_word(group, artifact, version) or not _GROUP.fullmatch(group) or "." not in group:
        return None
    return Package("maven", f"{group}:{artifact}", version, path)


def _fields(archive: zipfile.ZipFile, member: zipfile.ZipInfo, mark: str, limit: int) -> Any:
    with archive.open(member) as file:
        content = io.BytesIO(file.read(limit))
    fields: dict[str, str] = {}
    for line in read_lines(content, limit):
        name, found, text = line.partition(mark)
        if found and not line.startswith("#"):
            fields.setdefault(name.strip(), text.strip())
    return fields
