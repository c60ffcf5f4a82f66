"""What is installed in an image: its operating system and its packages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

# Longer names and versions are nobody's: they are left out, not cut.
_LONGEST_WORD: Final = 512
_SYSTEM_KINDS: Final = ("deb", "apk", "rpm")
_LANGUAGES: Final = {"pypi": "PyPI", "npm": "npm", "golang": "Go", "maven": "Maven"}
# By the ID of os-release(5).
_SYSTEMS: Final = {
    "debian": "Debian:{major}",
    "ubuntu": "Ubuntu:{version}",
    "alpine": "Alpine:v{minor}",
    "rhel": "Red Hat:{major}",
    "rocky": "Rocky Linux:{major}",
    "almalinux": "AlmaLinux:{major}",
    "amzn": "Amazon Linux:{major}",
    "opensuse-leap": "openSUSE:Leap {version}",
    "opensuse-tumbleweed": "openSUSE:Tumbleweed",
    "sles": "SUSE:{version}",
    "wolfi": "Wolfi",
    "chainguard": "Chainguard",
    "photon": "Photon OS:{version}",
    "azurelinux": "Azure Linux:{major}",
    "mariner": "Azure Linux:{major}",
    "mageia": "Mageia:{major}",
    "openEuler": "openEuler:{version}",
}
_RUN: Final = re.compile(r"[-_.]+")


class Package(msgspec.Struct, frozen=True, omit_defaults=True):
    """A package as its database names it.

    `kind` is its purl type: deb, apk, rpm, pypi, npm, golang or maven (where the name is
    group:artifact). `version` has epoch and release, `source` and `source_version` are those of
    the source package where they differ. `path` is the file that told of it, in the layer `layer`.
    """

    kind: str
    name: str
    version: str
    path: str = ""
    layer: str = ""
    architecture: str = ""
    source: str = ""
    source_version: str = ""


class Release(msgspec.Struct, frozen=True, omit_defaults=True):
    """An operating system, as os-release(5) names it: `id` debian, `version` 12, and so on."""

    id: str = ""
    version: str = ""
    name: str = ""


class Inventory(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of an image; `skipped` are files that told nothing, because they are broken or too
    large, as PATH: WHY.
    """

    release: Release = Release()
    packages: tuple[Package, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def is_supported(self) -> bool:
        """Whether there was anything to read: a package database, or packages of a language."""
        return bool(self.packages) or bool(self.release.id)


def is_word(*texts: str) -> bool:
    """Tell whether these may be a package's name and version: short, and printable."""
    return all(0 < len(text) <= _LONGEST_WORD and text.isprintable() for text in texts)


def ecosystem_of(package: Package, release: Release) -> str:
    """Give the OSV ecosystem of a package, as `normal_ecosystem` writes it; empty for none."""
    if package.kind not in _SYSTEM_KINDS:
        return _LANGUAGES.get(package.kind, "")
    pattern = _SYSTEMS.get(release.id, "")
    minor = ".".join(release.version.split(".")[:2])
    return pattern.format(
        version=release.version, minor=minor, major=release.version.partition(".")[0]
    )


_SUSE: Final = re.compile(r"SUSE:Linux Enterprise Server (\d+)(?: SP(\d+))?(?:-LTSS)?")
_RED_HAT: Final = re.compile(r"Red Hat:enterprise_linux:(\d+)(?:::.*)?")


def normal_ecosystem(given: str) -> str:
    """Give an advisory's ecosystem in the one spelling that is looked up.

    OSV: "Ubuntu:22.04:LTS" is Ubuntu:22.04, "Red Hat:enterprise_linux:9::baseos" is Red Hat:9,
    "SUSE:Linux Enterprise Server 15 SP5" is SUSE:15.5, and a Maven repository does not count.
    """
    name, _, rest = given.partition(":")
    if name == "Ubuntu":
        return given.removesuffix(":LTS")
    if name == "Maven":
        return name
    if name == "Alpine" and rest and not rest.startswith("v"):
        return f"Alpine:v{rest}"
    if found := _RED_HAT.fullmatch(given):
        return f"Red Hat:{found[1]}"
    if found := _SUSE.fullmatch(given):
        return f"SUSE:{found[1]}.{found[2]}" if found[2] else f"SUSE:{found[1]}"
    return given


def normal_name(ecosystem: str, name: str) -> str:
    """Give a package's name in the one spelling that is looked up (PEP 503 for Python)."""
    if ecosystem == "PyPI":
        return _RUN.sub("-", name).lower()
    return name


def names_of(package: Package) -> Iterator[tuple[str, str]]:
    """Give (name, version) under which advisories may name the package.

    Debian's and Ubuntu's name source packages, the others' sources or packages.
    """
    source = package.source or package.name
    source_version = package.source_version or package.version
    if package.kind == "deb":
        yield source, source_version
        return
    yield package.name, package.version
    if package.kind in _SYSTEM_KINDS and source != package.name:
        yield source, source_version


def purl_of(package: Package, release: Release) -> str:
    """Give the package URL. Source: the purl specification and its types' definitions."""
    from packageurl import PackageURL  # noqa: PLC0415 - most processes write none

    namespace, name, qualifiers = None, package.name, {}
    version = package.version
    if package.kind in _SYSTEM_KINDS:
        namespace = release.id or None
        if package.architecture:
            qualifiers["arch"] = package.architecture
        if package.kind == "rpm" and ":" in version:
            qualifiers["epoch"], _, version = version.partition(":")
        if release.id:
            qualifiers["distro"] = f"{release.id}-{release.version}".rstrip("-")
    elif package.kind == "pypi":
        name = normal_name("PyPI", name)
    elif package.kind == "maven":
        namespace, _, name = name.rpartition(":")
    elif "/" in name:
        namespace, _, name = name.rpartition("/")
    return str(PackageURL(package.kind, namespace or None, name, version, qualifiers or None))
