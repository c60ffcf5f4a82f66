"""The files that a release is built from, and archives whose bytes depend on nothing else."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

_EXECUTABLE = 0o100


def commit_time(root: Path) -> int:
    """Give SOURCE_DATE_EPOCH, or when the last commit was made."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _git(root, "log", "-1", "--format=%ct"))


def changes(root: Path) -> str:
    """Give what of the tree is not committed, a line each."""
    return _git(root, "status", "--porcelain")


def export(root: Path, folder: Path, epoch: int) -> None:
    """Copy what git tracks to `folder`, with the times and modes that it has for everyone."""
    for name in _git(root, "ls-files", "-z", "--cached").split("\0"):
        source = root / name
        if not name or not source.is_file():
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(plain_mode(source.stat().st_mode))
        os.utime(target, (epoch, epoch))


def plain_mode(mode: int) -> int:
    """Give 0755 for what its owner may run, else 0644."""
    return 0o755 if mode & _EXECUTABLE else 0o644


def write_tar(path: Path, files: Iterable[tuple[str, bytes, int]], epoch: int) -> None:
    """Write a .tar.gz of names, contents and modes, in the order of their names."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=epoch, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content, mode in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), mode, epoch
            archive.addfile(entry, BytesIO(content))


def repack(path: Path, epoch: int) -> None:
    """Write a .tar.gz again, without what differs from one machine and moment to another."""
    with tarfile.open(path) as archive:
        files = [
            (one.name, _content(archive, one), plain_mode(one.mode))
            for one in archive
            if one.isfile()
        ]
    write_tar(path, files, epoch)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(entry)
    return b"" if opened is None else opened.read()


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
    ).stdout
