"""apk's database of what is installed. Source: Alpine's wiki, "Apk spec", "installed database"."""

from __future__ import annotations

from typing import IO, Final

from ecrate.scanning.inventory import Package, is_word
from ecrate.scanning.readers.found import Found, read_lines

_LIMIT: Final = 128 * 1024 * 1024
_OTHERS: Final = ("METADATA", "PKG-INFO", ".egg-info", "package.json", ".jar", ".war", ".ear")


def read_installed(file: IO[bytes], path: str) -> Found:
    """Read packages, and which files are theirs."""
    packages: list[Package] = []
    owned: set[str] = set()
    fields: dict[str, str] = {}
    folder = ""
    for line in read_lines(file, _LIMIT):
        letter, text = line[:1], line[2:]
        if not line:
            _take(fields, path, packages)
            fields, folder = {}, ""
        elif letter == "F":
            folder = text
        elif letter == "R":
            if text.endswith(_OTHERS):
                owned.add(f"{folder}/{text}".lstrip("/"))
        elif letter in "PVAo":
            fields.setdefault(letter, text)
    _take(fields, path, packages)
    return Found(tuple(packages), frozenset(owned))


def _take(fields: dict[str, str], path: str, packages: list[Package]) -> None:
    name, version, origin = fields.get("P", ""), fields.get("V", ""), fields.get("o", "")
    if is_word(name, version):
        source = origin if origin != name and is_word(origin) else ""
        packages.append(
            Package("apk", name, version, path, architecture=fields.get("A", ""), source=source)
        )
