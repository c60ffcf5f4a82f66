"""Layers laid over each other, as far as package databases are in them.

Source: image-spec 1.1, layer.md, "Applying Changesets" and "Whiteouts".
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Callable
from typing import IO, Final

import msgspec
from typing_extensions import override

from ecrate.scanning.archive import OPAQUE, WHITEOUT, layer_errors, path_of, read_members
from ecrate.scanning.inventory import Inventory, Release
from ecrate.scanning.readers import alpine, debian, golang, java, languages, rpm_databases
from ecrate.scanning.readers.found import Found, UnreadableError
from ecrate.scanning.readers.release import read_release

MOST_PACKAGES: Final = 200_000
_MOST_SKIPPED: Final = 100
_LONGEST_PATH: Final = 4096
_MOST_MEMBERS: Final = 10_000_000
_SMALLEST_BINARY: Final = 64 * 1024
_DPKG: Final = "var/lib/dpkg/"

Reader = Callable[[IO[bytes], str], Found]

_READERS: Final[dict[str, Reader]] = {
    f"{_DPKG}status": debian.read_status,
    "lib/apk/db/installed": alpine.read_installed,
    "usr/lib/apk/db/installed": alpine.read_installed,
    "etc/os-release": read_release,
    "usr/lib/os-release": read_release,
    **{
        f"{folder}/{name}": reader
        for folder in ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
        for name, reader in (
            ("rpmdb.sqlite", rpm_databases.read_sqlite),
            ("Packages.db", rpm_databases.read_ndb),
            ("Packages", rpm_databases.read_berkeley),
        )
    },
}
_PYTHON: Final = re.compile(
    r"(?:.*/)?(?:[^/]+\.dist-info/METADATA|[^/]+\.egg-info/PKG-INFO|[^/]+\.egg-info"
    r"|[^/]+\.egg/EGG-INFO/PKG-INFO)"
)
_NPM: Final = re.compile(r"(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+/package\.json")


class TooManyError(Exception):
    """There is more in the image than is kept of one."""


class Overlay:
    """What was found in the layers so far; `add` takes them from the base on."""

    def __init__(self, most_bytes: int) -> None:
        self._found: dict[str, tuple[Found, str]] = {}
        self._skipped: dict[str, str] = {}
        self._folders: dict[str, int] = {}
        self._room = most_bytes

    def add(self, raw: io.RawIOBase, digest: str) -> None:
        """Lay a layer over those before. Raises `LayerError`, `TooLargeError` when all layers
        unpack to more bytes than they may, `TooManyError`.
        """
        above: dict[str, tuple[Found, str]] = {}
        count = 0
        with layer_errors():
            for member, content in read_members(raw, self._room):
                count += 1
                if count > _MOST_MEMBERS:
                    raise TooManyError(f"a layer has more than {_MOST_MEMBERS} files")
                self._room -= member.size
                path = path_of(member.name)
                folder, name = posixpath.split(path)
                if name == OPAQUE:
                    self._drop_below(folder)
                elif name.startswith(WHITEOUT):
                    self._drop(posixpath.join(folder, name.removeprefix(WHITEOUT)))
                elif path and not member.isdir():
                    self._drop(path)
                    above.pop(path, None)
                    self._read(member, content, path, digest, above)
        for path, found in above.items():
            self._keep(path, found)
        if sum(len(found.packages) for found, _ in self._found.values()) > MOST_PACKAGES:
            raise TooManyError(f"the image has more than {MOST_PACKAGES} packages")

    def _read(
        self,
        member: tarfile.TarInfo,
        content: IO[bytes] | None,
        path: str,
        digest: str,
        above: dict[str, tuple[Found, str]],
    ) -> None:
        if content is None:
            # Another name of a file in the same layer: what is there counts here as well.
            if member.islnk() and (other := above.get(path_of(member.linkname))) is not None:
                above[path] = (_moved(other[0], path.encode("utf-8", "replace").decode()), digest)
            return
        reader = _reader_of(path)
        file: IO[bytes] = content
        if reader is None and member.mode & 0o111 and member.size >= _SMALLEST_BINARY:
            if content.read(len(golang.ELF)) != golang.ELF:
                return
            reader, file = golang.read_binary, _Behind(golang.ELF, content)
        if reader is None:
            return
        shown = path.encode("utf-8", "replace").decode()[:_LONGEST_PATH]
        try:
            above[path] = (reader(file, shown), digest)
        except UnreadableError as error:
            self._skip(path, str(error))
        except MemoryError:
            self._skip(path, "it takes too much memory")

    def _skip(self, path: str, why: str) -> None:
        if len(self._skipped) < _MOST_SKIPPED:
            self._skipped[path] = why

    def _keep(self, path: str, found: tuple[Found, str]) -> None:
        self._found[path] = found
        for folder in _folders_of(path):
            self._folders[folder] = self._folders.get(folder, 0) + 1

    def _drop(self, path: str) -> None:
        """Take away what a layer removes or replaces: a file, or a folder with all in it."""
        self._skipped.pop(path, None)
        if path in self._found:
            self._forget(path)
        if path in self._folders:
            self._drop_below(path)

    def _drop_below(self, folder: str) -> None:
        prefix = f"{folder}/" if folder else ""
        for path in [one for one in self._found if one.startswith(prefix)]:
            self._forget(path)
        for path in [one for one in self._skipped if one.startswith(prefix)]:
            del self._skipped[path]

    def _forget(self, path: str) -> None:
        del self._found[path]
        for folder in _folders_of(path):
            self._folders[folder] -= 1
            if not self._folders[folder]:
                del self._folders[folder]

    def inventory(self) -> Inventory:
        """Give what is in the image: packages that belong to the operating system's count once,
        as its own.
        """
        owned: set[str] = set()
        release = Release()
        for path in ("usr/lib/os-release", "etc/os-release"):
            told = self._found.get(path)
            if told is not None and told[0].release is not None:
                release = told[0].release
        for found, _ in self._found.values():
            owned |= found.owned
        packages = [
            msgspec.structs.replace(package, layer=layer)
            for path, (found, layer) in self._found.items()
            if not _is_owned(path, owned)
            for package in found.packages
        ]
        packages.sort(key=lambda one: (one.kind, one.name, one.version, one.path))
        skipped = tuple(
            f"{path}: {why}".encode("utf-8", "replace").decode()
            for path, why in sorted(self._skipped.items())
        )
        return Inventory(release, tuple(packages), skipped)


def _is_owned(path: str, owned: set[str]) -> bool:
    """Tell whether a package manager put the file there; with /usr merged, by either path."""
    return path in owned or path.removeprefix("usr/") in owned or f"usr/{path}" in owned


def _reader_of(path: str) -> Reader | None:
    reader = _READERS.get(path)
    if reader is not None:
        return reader
    name = posixpath.basename(path)
    if name in ("METADATA", "PKG-INFO") or name.endswith(".egg-info"):
        return languages.read_metadata if _PYTHON.fullmatch(path) else None
    if name == "package.json":
        return languages.read_package_json if _NPM.fullmatch(path) else None
    if name.endswith(java.ARCHIVES):
        return java.read_archive
    if path.startswith(_DPKG):
        return _dpkg_reader(path.removeprefix(_DPKG))
    return None


def _dpkg_reader(path: str) -> Reader | None:
    if path.startswith("info/") and path.endswith(".list"):
        return debian.read_list
    if path.startswith("status.d/") and not path.endswith(".md5sums"):
        return debian.read_status
    return None


def _moved(found: Found, path: str) -> Found:
    packages = tuple(msgspec.structs.replace(one, path=path) for one in found.packages)
    return Found(packages, found.owned, found.release)


def _folders_of(path: str) -> list[str]:
    folders = []
    while path := posixpath.dirname(path):
        folders.append(path)
    return folders


class _Behind(io.BytesIO):
    """A file of which the first bytes were read already."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        super().__init__()
        self._start = start
        self._file = file

    @override
    def read(self, size: int | None = -1) -> bytes:
        if not self._start:
            return self._file.read(-1 if size is None else size)
        start, self._start = self._start, b""
        return start + self._file.read(size - len(start) if size is not None and size >= 0 else -1)
