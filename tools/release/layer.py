"""Layers whose bytes follow from their files alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "same": tarfile.LNKTYPE,
}


@dataclass(frozen=True)
class Entry:
    """A file, a directory, a symbolic link, or another name of the same file; root's."""

    path: str
    mode: int
    kind: Literal["file", "directory", "link", "same"] = "file"
    content: bytes = field(default=b"", repr=False)
    target: str = ""
    owner: int = 0


@dataclass(frozen=True)
class Layer:
    """A layer as it is pushed, and the digest of what it unpacks to."""

    content: bytes = field(repr=False)
    diff_id: str

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def make_layer(entries: Iterable[Entry], epoch: int) -> Layer:
    """Pack entries in the order of their names, with the directories they need."""
    found = {one.path: one for one in entries}
    for path in list(found):
        while path := path.rpartition("/")[0]:
            found.setdefault(path, Entry(path, 0o755, kind="directory"))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        # What is another name comes behind what it names.
        for one in sorted(found.values(), key=lambda one: (one.kind == "same", one.path)):
            entry = tarfile.TarInfo(one.path)
            entry.type, entry.mode, entry.linkname = _TYPES[one.kind], one.mode, one.target
            entry.uid = entry.gid = one.owner
            entry.size, entry.mtime = len(one.content), epoch
            archive.addfile(entry, io.BytesIO(one.content))
    raw = plain.getvalue()
    return Layer(
        gzip.compress(raw, 6, mtime=0),
        f"sha256:{hashlib.sha256(raw).hexdigest()}",
    )
