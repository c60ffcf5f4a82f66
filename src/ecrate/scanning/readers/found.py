"""What a reader gives, and what readers have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Final

from ecrate.scanning.inventory import Package, Release

_LONGEST_LINE: Final = 64 * 1024


class UnreadableError(Exception):
    """The file tells nothing; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one file tells: packages, files that belong to them (paths from the root on), and the
    operating system.
    """

    packages: tuple[Package, ...] = ()
    owned: frozenset[str] = frozenset()
    release: Release | None = None


def read_whole(file: IO[bytes], limit: int) -> bytes:
    """Give all bytes; raises `UnreadableError` for more than `limit`."""
    content = file.read(limit + 1)
    if len(content) > limit:
        raise UnreadableError(f"larger than {limit} bytes")
    return content


def read_lines(file: IO[bytes], limit: int) -> Iterator[str]:
    """Give lines without their ends, long ones in pieces; raises `UnreadableError` behind
    `limit` bytes.
    """
    room = limit
    while line := file.readline(_LONGEST_LINE):
        room -= len(line)
        if room < 0:
            raise UnreadableError(f"larger than {limit} bytes")
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def paragraphs(lines: Iterable[str], wanted: frozenset[str]) -> Iterator[dict[str, str]]:
    """Give the wanted fields of each paragraph of `Name: value` lines; what is folded is not
    joined.
    """
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if fields:
                yield fields
            fields = {}
            continue
        name, colon, text = line.partition(":")
        if colon and name in wanted:
            fields.setdefault(name, text.strip())
    if fields:
        yield fields
