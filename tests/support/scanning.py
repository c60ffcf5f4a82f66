"""Images with packages in them, and advisories on these, made up on the spot."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from ecrate.operations.advisories import Imported, import_advisories
from ecrate.operations.core import Core
from ecrate.operations.scanning import Scanner, ScanSettings
from tests.support.images import Blob, MadeImage, make_image

Files = Mapping[str, bytes]

DEBIAN: Files = {"etc/os-release": b'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n'}
SITE = "usr/local/lib/python3.11/site-packages"


def python(name: str, version: str, site: str = SITE) -> Files:
    """Give what pip leaves of a package."""
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 9\n"
    return {f"{site}/{name}-{version}.dist-info/METADATA": text.encode()}


def npm(name: str, version: str) -> Files:
    text = json.dumps({"name": name, "version": version, "main": "index.js"})
    return {f"app/node_modules/{name}/package.json": text.encode()}


def layer(*files: Files) -> bytes:
    """Pack files into a layer; a name that ends in a slash is a folder, an executable has `bin/` in
    its own.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for some in files:
            for name, content in some.items():
                member = tarfile.TarInfo(name.rstrip("/"))
                member.size = len(content)
                member.mode = 0o755 if "bin/" in name else 0o644
                if name.endswith("/"):
                    member.type = tarfile.DIRTYPE
                archive.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1)


def image_with(*files: Files) -> MadeImage:
    """Make an image of one layer on Debian."""
    return image_of_layers(layer(DEBIAN, *files))


def image_of_layers(*layers: bytes) -> MadeImage:
    return MadeImage(make_image(1).config, tuple(Blob(one) for one in layers))


def advisory(
    id_: str,
    name: str,
    *events: tuple[str, str],
    ecosystem: str = "PyPI",
    modified: str = "2024-01-01T00:00:00Z",
    **members: Any,
) -> dict[str, Any]:
    """Make an OSV document on one package."""
    kind = "SEMVER" if ecosystem in ("npm", "Go") else "ECOSYSTEM"
    ranges = [{"type": kind, "events": [{event: version} for event, version in events]}]
    package = {"ecosystem": ecosystem, "name": name}
    document = {"id": id_, "modified": modified, "details": f"about {name}", **members}
    return {**document, "affected": [{"package": package, "ranges": ranges}]}


FEED = (
    advisory("TEST-1", "one", ("introduced", "0"), ("fixed", "2.0")),
    advisory("TEST-2", "two", ("introduced", "0")),
)


def import_feed(core: Core, *documents: dict[str, Any], replaces: bool = False) -> Imported:
    given = [(one["id"], json.dumps(one).encode()) for one in documents or FEED]
    return import_advisories(core, "a test", given, replaces=replaces)


SETTINGS = ScanSettings(size=1 << 30)


def scan_all(core: Core, settings: ScanSettings = SETTINGS) -> Scanner:
    """Do all that waits for the scanner."""
    scanner = Scanner(settings)
    while scanner.run(core, lambda: True):
        pass
    return scanner
