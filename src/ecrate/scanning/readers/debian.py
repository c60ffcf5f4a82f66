"""dpkg's database: `status`, its pieces in `status.d` (distroless), and lists of files.

Sources: dpkg's dpkg(1), "Files"; Debian policy, chapter 5.
"""

from __future__ import annotations

import re
from typing import IO, Final

from ecrate.scanning.inventory import Package, is_word
from ecrate.scanning.readers.found import Found, paragraphs, read_lines

_LIMIT: Final = 128 * 1024 * 1024
_FIELDS: Final = frozenset({"Package", "Version", "Status", "Architecture", "Source"})
_SOURCE: Final = re.compile(r"(\S+)(?:\s+\((\S+)\))?")
# Of all files, those that other readers would read.
_OTHERS: Final = ("METADATA", "PKG-INFO", ".egg-info", "package.json", ".jar", ".war", ".ear")


def read_status(file: IO[bytes], path: str) -> Found:
    """Read the packages that are installed; what is only configured is not."""
    found = []
    for fields in paragraphs(read_lines(file, _LIMIT), _FIELDS):
        name, version = fields.get("Package", ""), fields.get("Version", "")
        status = fields.get("Status", "install ok installed").split()
        if not is_word(name, version) or status[-1:] != ["installed"]:
            continue
        source = _SOURCE.fullmatch(fields.get("Source", ""))
        found.append(
            Package(
                "deb",
                name,
                version,
                path,
                architecture=fields.get("Architecture", ""),
                source=source[1] if source and source[1] != name else "",
                source_version=source[2] if source and source[2] else "",
            )
        )
    return Found(tuple(found))


def read_list(file: IO[bytes], _: str) -> Found:
    """Read which files dpkg has put there."""
    return Found(
        owned=frozenset(
            line.lstrip("/") for line in read_lines(file, _LIMIT) if line.endswith(_OTHERS)
        )
    )
