"""Debian packages as files of an image, without dpkg's database and without root."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.release.layer import Entry

# Debian 12 has these merged into /usr; its packages do not yet say so.
_MERGED = ("bin", "lib", "lib64", "sbin")


def download(names: Sequence[str], folder: Path) -> list[Path]:
    """Get packages from the machine's own Debian mirror, as it has them now."""
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names]
    subprocess.run(command, cwd=folder, check=True)
    return sorted(folder.glob("*.deb"))


def unpacked(package: Path, left_out: Sequence[str]) -> Iterator[Entry]:
    """Give a package's files, and what scanners read of it: its control file, in status.d."""
    fields = _run("dpkg-deb", "--field", str(package))
    name = _run("dpkg-deb", "--field", str(package), "Package").decode().strip()
    yield Entry(f"var/lib/dpkg/status.d/{name}", 0o644, content=fields)
    with tarfile.open(fileobj=io.BytesIO(_run("dpkg-deb", "--fsys-tarfile", str(package)))) as tar:
        for one in tar:
            path = _merged(one.name.removeprefix("./").rstrip("/"))
            is_wanted = path.endswith("/copyright") or not path.startswith("usr/share/doc/")
            if path in {"", "."} or not is_wanted or path.startswith(tuple(left_out)):
                continue
            if one.isdir():
                yield Entry(path, one.mode, kind="directory")
            elif one.issym():
                yield Entry(path, 0o777, kind="link", target=one.linkname)
            elif one.islnk():
                yield Entry(path, one.mode, kind="same", target=_merged(one.linkname[2:]))
            elif (opened := tar.extractfile(one)) is not None:
                yield Entry(path, one.mode, content=opened.read())


def merged_links() -> Iterator[Entry]:
    """Give the links from where things were to where they are."""
    for name in _MERGED:
        yield Entry(name, 0o777, kind="link", target=f"usr/{name}")
        yield Entry(f"usr/{name}", 0o755, kind="directory")


def _merged(path: str) -> str:
    head = path.partition("/")[0]
    return f"usr/{path}" if head in _MERGED else path


def _run(*command: str) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout
