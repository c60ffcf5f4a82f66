"""os-release(5)."""

from __future__ import annotations

import shlex
from typing import IO, Final

from ecrate.scanning.inventory import Release, is_word
from ecrate.scanning.readers.found import Found, read_lines

_LIMIT: Final = 64 * 1024


def read_release(file: IO[bytes], _: str) -> Found:
    """Read which operating system this is; a file without ID tells nothing."""
    fields: dict[str, str] = {}
    for line in read_lines(file, _LIMIT):
        name, equals, text = line.partition("=")
        if equals and not line.startswith("#"):
            fields[name.strip()] = _unquoted(text)
    release = Release(*(fields.get(name, "") for name in ("ID", "VERSION_ID", "PRETTY_NAME")))
    good = is_word(release.id) and all(is_word(each) for each in (release.version,) if each)
    return Found(release=release if good else None)


def _unquoted(text: str) -> str:
    try:
        return "".join(shlex.split(text)[:1])
    except ValueError:
        return text.strip()
