"""The files of a layer, listed as its archive has them."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from aiohttp.web import Response

from ecrate.console.request import ConsoleRequest, repository_path
from ecrate.domain.names import Digest
from ecrate.operations import layers
from ecrate.scanning.archive import MIB, WHITEOUT, LayerError, layer_errors, path_of, read_members

# Of the unpacked archive is looked through at once: a second of work.
_MOST_BYTES: Final = 256 * MIB
_SHOWN: Final = 500
_LONGEST: Final = 1000
_KINDS: Final = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


@dataclass(frozen=True, slots=True)
class File:
    """`mode` is as `ls -l` has it; `target` is that of a link; `is_deleted`: what the layers below
    have under this name is not there any more.
    """

    path: str
    mode: str
    owner: str
    size: int
    target: str
    is_deleted: bool


def show_files(request: ConsoleRequest) -> Response:
    digest = Digest.parse(request.query.get("layer", ""), "layerDigest")
    search = request.query.get("search", "").strip()
    layer = layers.find_layer(request.core, request.caller, request.ref, digest.text)
    with layers.open_layer(request.core, layer) as opened:
        files, objection = list_files(cast("io.RawIOBase", opened), search)
    return request.part(
        "files.html",
        request.name,
        files=files,
        objection=objection,
        shown=_SHOWN,
        layer=digest.text,
        search=search,
        files_path=repository_path(request.name, "files"),
    )


def list_files(raw: io.RawIOBase, search: str) -> tuple[Sequence[File], str]:
    """Give the first 500 files with the text in their path, and why there are no more, if so."""
    found: list[File] = []
    try:
        with layer_errors():
            for member, _ in read_members(raw, _MOST_BYTES):
                file = _file(member)
                if search in file.path:
                    found.append(file)
                if len(found) >= _SHOWN:
                    return found, f"The first {_SHOWN} are shown."
    except LayerError as error:
        return found, f"The layer is not read further: {error}."
    return found, ""


def _file(member: tarfile.TarInfo) -> File:
    path = path_of(member.name)
    folder, slash, name = path.rpartition("/")
    is_deleted = name.startswith(WHITEOUT)
    kind = _KINDS.get(member.type, stat.S_IFREG)
    return File(
        path=(f"{folder}{slash}{name.removeprefix(WHITEOUT)}" if is_deleted else path)[:_LONGEST],
        mode=stat.filemode(kind | (member.mode & 0o7777)),
        owner=f"{member.uid}:{member.gid}",
        size=member.size,
        target=member.linkname[:_LONGEST],
        is_deleted=is_deleted,
    )
