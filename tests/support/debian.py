"""Layers of a real Debian root, unpacked from packages of the mirror that apt is set up for."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.clients import find_program, miss

# Each becomes one layer; links, setuid programs, odd owners and long names are all in there.
PACKAGES = (
    ("base-files", "libc6", "tzdata"),
    ("bash", "coreutils", "login", "libtinfo6", "libselinux1", "libpcre2-8-0"),
    ("busybox-static", "perl-base"),
)


def make_root_layers(folder: Path) -> list[Path]:
    """Make one uncompressed tar file a layer."""
    debs = folder / "debs"
    debs.mkdir()
    _download(folder / "lists", debs)
    return [_make_layer(folder / f"layer-{n}", debs, names) for n, names in enumerate(PACKAGES)]


def _download(lists: Path, debs: Path) -> None:
    apt = [find_program("apt-get"), "-qq", "-o", "Acquire::Retries=3"]
    # Lists of our own, as new as the mirror; those of the system may be old, or not there.
    (lists / "partial").mkdir(parents=True)
    apt += ["-o", f"Dir::State::lists={lists}"]
    apt += ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
    # A source that cannot be reached is no matter as long as the packages are found.
    _run([*apt, "update"], debs)
    downloaded = _run([*apt, "download", *(name for names in PACKAGES for name in names)], debs)
    if downloaded.returncode != 0:
        miss(f"apt-get cannot download Debian packages: {downloaded.stderr}")


def _make_layer(root: Path, debs: Path, packages: Sequence[str]) -> Path:
    for package in packages:
        (deb,) = debs.glob(f"{package}_*.deb")
        _run([find_program("dpkg-deb"), "-x", str(deb), str(root)], debs).check_returncode()
    layer = root.with_suffix(".tar")
    tar = [find_program("tar"), "--sort=name", "--numeric-owner", "-C", str(root)]
    _run([*tar, "-cf", str(layer), "."], debs).check_returncode()
    return layer


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(command), cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
