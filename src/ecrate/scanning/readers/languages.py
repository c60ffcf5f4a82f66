"""Packages of Python and npm: a file of metadata each.

Sources: PyPA's core metadata specification; npm's package.json.
"""

from __future__ import annotations

import itertools
from typing import IO, Final

import msgspec

from ecrate.scanning.inventory import Package, is_word
from ecrate.scanning.readers.found import (
    Found,
    UnreadableError,
    paragraphs,
    read_lines,
    read_whole,
)

_LIMIT: Final = 4 * 1024 * 1024
_FIELDS: Final = frozenset({"Name", "Version"})


def read_metadata(file: IO[bytes], path: str) -> Found:
    """Read the header of METADATA or PKG-INFO; what follows an empty line is a description."""
    header = itertools.takewhile(bool, read_lines(file, _LIMIT))
    for fields in paragraphs(header, _FIELDS):
        name, version = fields.get("Name", ""), fields.get("Version", "")
        if is_word(name, version):
            return Found((Package("pypi", name, version, path),))
    raise UnreadableError("no Name and Version")


class _Manifest(msgspec.Struct):
    name: str = ""
    version: str = ""


def read_package_json(file: IO[bytes], path: str) -> Found:
    """Read a package's name and version. A folder's package.json that only says how its modules
    are to be loaded has none: it is no package.
    """
    try:
        manifest = msgspec.json.decode(read_whole(file, _LIMIT), type=_Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableError(f"no package.json: {error}") from None
    if not is_word(manifest.name, manifest.version):
        return Found()
    return Found((Package("npm", manifest.name, manifest.version, path),))
