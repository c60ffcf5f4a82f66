"""What is read out of layers: every package database, whiteouts, and what is hostile."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import sqlite3
import struct
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from ecrate.scanning.archive import LayerError, TooLargeError
from ecrate.scanning.inventory import Inventory, Package, Release, purl_of
from ecrate.scanning.overlay import Overlay
from ecrate.scanning.readers.found import UnreadableError
from ecrate.scanning.readers.java import read_archive
from ecrate.scanning.reading import LayerSource, ReadingError, read_inventory
from ecrate.scanning.sbom import Subject, write_cyclonedx, write_spdx
from tests.support.scanning import DEBIAN, SITE, Files, layer, npm, python

ROOM = 1 << 30


def read(*layers: bytes, room: int = ROOM) -> Inventory:
    overlay = Overlay(room)
    for number, one in enumerate(layers):
        overlay.add(io.BytesIO(one), f"sha256:{number}")  # type: ignore[arg-type] # reads alike
    return overlay.inventory()


def names(inventory: Inventory) -> list[str]:
    return [f"{one.kind} {one.name} {one.version}" for one in inventory.packages]


STATUS = b"""\
Package: libsample1
Status: install ok installed
Architecture: amd64
Source: sample (1:0.9-1)
Version: 1:1.0-1
Description: one
 Package: folded
Conffiles:
 /etc/x 1

Package: gone
Status: deinstall ok config-files
Version: 2

Package: sample
Status: install ok installed
Version: 1:1.0-1
"""
INSTALLED = b"""\
C:Q1abc
P:musl
V:1.2.4_git20230717-r4
A:x86_64
o:musl

P:py3-idna
V:3.4-r0
o:py3-idna-source
F:usr/lib/python3.11/site-packages/idna-3.4.dist-info
R:METADATA
"""


def rpm_header(**tags: object) -> bytes:
    """Make a header of rpm's: texts and numbers by tag."""
    numbers = {"name": 1000, "version": 1001, "release": 1002, "epoch": 1003, "arch": 1022,
               "source": 1044, "places": 1116, "files": 1117, "folders": 1118}  # fmt: skip
    index, data = b"", b""
    for name, value in tags.items():
        kind, count = 6, 1
        packed = f"{value}\0".encode()
        if isinstance(value, list):
            count = len(value)
            is_text = isinstance(value[0], str)
            kind = 8 if is_text else 4
            packed = b"".join(
                f"{one}\0".encode() if is_text else struct.pack(">I", one) for one in value
            )
        data += b"\0" * (-len(data) % 4)
        index += struct.pack(">IIII", numbers[name], kind, len(data), count)
        data += packed
    return struct.pack(">II", len(index) // 16, len(data)) + index + data


HEADERS = [
    rpm_header(name="sample-libs", version="2.0", release="1.el9", epoch=[1], arch="x86_64",
               source="sample-2.0-1.el9.src.rpm", folders=["/usr/lib/python3.9/site-packages/a/"],
               files=["PKG-INFO", "b"], places=[0, 0]),
    rpm_header(name="gpg-pubkey", version="1", release="2"),
    rpm_header(name="bare", version="1", release="2.el9"),
]  # fmt: skip


def rpm_sqlite(folder: Path) -> bytes:
    path = folder / "rpmdb.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        database.executemany("INSERT INTO Packages (blob) VALUES (?)", [(one,) for one in HEADERS])
    database.close()
    return path.read_bytes()


def rpm_ndb(_: Path) -> bytes:
    slots = struct.pack("<4sIIII", b"RpmP", 0, 1, 1, 9).ljust(32, b"\0")
    blobs, block = b"", 4096 // 16
    for number, header in enumerate(HEADERS, 1):
        blob = struct.pack("<4sIII", b"BlbS", number, 1, len(header)) + header
        blob += b"\0" * (-len(blob) % 16)
        slots += struct.pack("<4sIII", b"Slot", number, block, len(blob) // 16)
        block += len(blob) // 16
        blobs += blob
    return slots.ljust(4096, b"\0") + blobs


def rpm_berkeley(_: Path) -> bytes:
    """A hash of three pages and two overflow pages a header; values of 300 bytes a page."""
    size, room = 512, 512 - 26
    pages = [bytearray(size), bytearray(size)]
    struct.pack_into("<I", pages[0], 12, 0x061561)
    struct.pack_into("<I", pages[0], 20, size)
    items = []
    for header in HEADERS:
        pieces = [header[at : at + room] for at in range(0, len(header), room)]
        items.append((len(pages), len(header)))
        for number, piece in enumerate(pieces):
            following = len(pages) + 1 if number + 1 < len(pieces) else 0
            page = bytearray(size)
            struct.pack_into("<I", page, 16, following)
            struct.pack_into("<H", page, 22, len(piece))
            page[25] = 7
            page[26 : 26 + len(piece)] = piece
            pages.append(page)
    struct.pack_into("<H", pages[1], 20, 2 * len(items))
    pages[1][25] = 13
    end = size
    for number, (first, length) in enumerate(items):
        end -= 5
        pages[1][end : end + 5] = b"\1abcd"
        struct.pack_into("<H", pages[1], 26 + 4 * number, end)
        end -= 12
        struct.pack_into("<BxxxII", pages[1], end, 3, first, length)
        struct.pack_into("<H", pages[1], 28 + 4 * number, end)
    return b"".join(pages)


def varint(text: bytes) -> bytes:
    length, packed = len(text), b""
    while length > 0x7F:
        packed += bytes([length & 0x7F | 0x80])
        length >>= 7
    return packed + bytes([length]) + text


def go_binary(version: str = "go1.21.0", flags: int = 2, padding: int = 100_000) -> bytes:
    modules = (
        "path\texample.com/app\nmod\texample.com/app\t(devel)\t\n"
        "dep\texample.com/sample\tv1.2.2\th1:x=\n"
        "dep\texample.com/old\tv0.1.0\n=>\texample.com/new\tv0.2.0\th1:y=\n"
    )
    info = b"\xff Go buildinf:" + bytes([8, flags]) + bytes(16)
    strings = varint(version.encode()) + varint(b"A" * 16 + modules.encode() + b"B" * 16)
    # The words alone, in a string of the program's, are not it.
    decoy = b"\xff Go buildinf:".ljust(64, b"x")
    start = (b"\x7fELF" + decoy).ljust(padding // 16 * 16, b"\1")
    return start + info + strings + b"\0" * 70_000


def jar(members: Mapping[str, bytes | str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def pom(group: str, artifact: str, version: str) -> dict[str, str]:
    text = f"#Created\ngroupId={group}\nartifactId={artifact}\nversion={version}\n"
    return {f"META-INF/maven/{group}/{artifact}/pom.properties": text}


BUNDLE = "Manifest-Version: 1.0\nBundle-SymbolicName: org.example.thing\nBundle-Version: 9\n"
WAR = jar({
    **pom("com.example", "web", "1.0"),
    "WEB-INF/lib/sample-1.0-rc1.jar": jar(pom("com.example", "sample", "1.0-rc1")),
    "WEB-INF/lib/thing-2.1.jar": jar({"META-INF/MANIFEST.MF": BUNDLE}),
    "WEB-INF/lib/broken.jar": b"no archive",
})  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"var/lib/dpkg/status": STATUS},
                     ["deb libsample1 1:1.0-1", "deb sample 1:1.0-1"], id="dpkg"),
        pytest.param({"var/lib/dpkg/status.d/base": b"Package: base\nVersion: 1\n",
                      "var/lib/dpkg/status.d/base.md5sums": b"Package: x\nVersion: 1\n"},
                     ["deb base 1"], id="distroless"),
        pytest.param({"lib/apk/db/installed": INSTALLED},
                     ["apk musl 1.2.4_git20230717-r4", "apk py3-idna 3.4-r0"], id="apk"),
        pytest.param(python("Sample.Lib", "1.0"), ["pypi Sample.Lib 1.0"], id="wheel"),
        pytest.param({f"{SITE}/a.egg-info": b"Name: a\nVersion: 1\n",
                      f"{SITE}/b.egg-info/PKG-INFO": b"Name: b\nVersion: 2\n",
                      f"{SITE}/c.egg/EGG-INFO/PKG-INFO": b"Name: c\nVersion: 3\n",
                      f"{SITE}/src/PKG-INFO": b"Name: d\nVersion: 4\n"},
                     ["pypi a 1", "pypi b 2", "pypi c 3"], id="eggs"),
        pytest.param({**npm("left-pad", "1.0.0"), **npm("@scope/x", "2.0.0"),
                      "app/package.json": b'{"name": "app", "version": "1.0.0"}',
                      "app/node_modules/x/lib/package.json": b'{"name": "y", "version": "1"}',
                      "app/node_modules/z/package.json": b'{"type": "module"}'},
                     ["npm @scope/x 2.0.0", "npm left-pad 1.0.0"], id="npm"),
        pytest.param({"bin/app": go_binary()},
                     ["golang example.com/new v0.2.0", "golang example.com/sample v1.2.2",
                      "golang stdlib 1.21.0"], id="Go"),
        pytest.param({"bin/app": go_binary(padding=1024 * 1024 + 16)},
                     ["golang example.com/new v0.2.0", "golang example.com/sample v1.2.2",
                      "golang stdlib 1.21.0"], id="Go, across pieces"),
        pytest.param({"bin/other": b"\x7fELF".ljust(100_000, b"\1")}, [], id="no Go"),
        pytest.param({"app/app.war": WAR},
                     ["maven com.example:sample 1.0-rc1", "maven com.example:web 1.0",
                      "maven org.example:thing 2.1"], id="Java"),
    ],
)  # fmt: skip
def test_packages_are_read(files: Files, expected: list[str]) -> None:
    found = read(layer(files))

    assert names(found) == expected
    assert found.skipped == ()


@pytest.mark.parametrize(
    ("path", "make"),
    [
        pytest.param("var/lib/rpm/rpmdb.sqlite", rpm_sqlite, id="sqlite"),
        pytest.param("usr/lib/sysimage/rpm/Packages.db", rpm_ndb, id="ndb"),
        pytest.param("var/lib/rpm/Packages", rpm_berkeley, id="Berkeley DB"),
    ],
)
def test_rpm_databases_are_read(tmp_path: Path, path: str, make: object) -> None:
    assert callable(make)
    owned = {"usr/lib/python3.9/site-packages/a/PKG-INFO": b"Name: a\nVersion: 1\n"}

    found = read(layer({path: make(tmp_path)}, owned))

    assert found.packages == (
        Package("rpm", "bare", "1-2.el9", path, "sha256:0"),
        Package("rpm", "sample-libs", "1:2.0-1.el9", path, "sha256:0", "x86_64", "sample"),
    )


def test_source_package_and_place_are_noted() -> None:
    found = read(layer(DEBIAN, {"var/lib/dpkg/status": STATUS}))

    assert found.release == Release("debian", "12", "Debian 12")
    assert found.packages[0] == Package(
        "deb", "libsample1", "1:1.0-1", "var/lib/dpkg/status", "sha256:0", "amd64", "sample",
        "1:0.9-1",
    )  # fmt: skip


def test_what_the_system_put_there_counts_as_the_systems() -> None:
    site = "usr/lib/python3/dist-packages"
    listed = f"/{site}/owned-1.dist-info/METADATA\n/usr/share/doc/x\n".encode()

    found = read(
        layer({"var/lib/dpkg/info/python3-owned.list": listed, "var/lib/dpkg/status": b""}),
        layer(python("owned", "1", site), python("own", "1", site)),
    )

    assert names(found) == ["pypi own 1"]


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        pytest.param({f"{SITE}/.wh.a-1.dist-info": b""}, ["pypi b 1"], id="folder"),
        pytest.param({f"{SITE}/a-1.dist-info/.wh.METADATA": b""}, ["pypi b 1"], id="file"),
        pytest.param({f"{SITE}/.wh..wh..opq": b""}, [], id="opaque"),
        pytest.param({"usr/.wh.local": b""}, [], id="above"),
        pytest.param({f"{SITE}/.wh..wh..opq": b"", **python("c", "1")}, ["pypi c 1"],
                     id="refilled"),
        pytest.param({**python("c", "1"), f"{SITE}/.wh..wh..opq": b""}, ["pypi c 1"],
                     id="refilled first"),
        pytest.param({f"{SITE}": b"a file"}, [], id="folder becomes file"),
        pytest.param({f"{SITE}/": b""}, ["pypi a 1", "pypi b 1"], id="folder again"),
        pytest.param({f"{SITE}/a-1.dist-info/METADATA": b"Name: a\nVersion: 2\n"},
                     ["pypi a 2", "pypi b 1"], id="replaced"),
        pytest.param({f"./{SITE}/../site-packages/.wh.a-1.dist-info": b""}, ["pypi b 1"],
                     id="odd path"),
    ],
)  # fmt: skip
def test_layers_take_away(above: Files, expected: list[str]) -> None:
    found = read(layer(python("a", "1"), python("b", "1")), layer(above))

    assert names(found) == expected


def test_hard_link_has_the_content_of_its_file() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        ((name, content),) = python("a", "1").items()
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo(name.replace(SITE, "opt/site"))
        link.type, link.linkname = tarfile.LNKTYPE, name
        archive.addfile(link)

    found = read(packed.getvalue())

    assert [one.path for one in found.packages] == [link.name, name]


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_layers_are_unpacked(packing: str) -> None:
    plain = gzip.decompress(layer(python("a", "1")))
    zstd = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    pack = {"plain": bytes, "gzip": gzip.compress, "zstd": importlib.import_module(zstd).compress}

    assert names(read(pack[packing](plain))) == ["pypi a 1"]


def test_archive_unpacks_to_no_more_than_its_limit() -> None:
    bomb = jar({"a.jar": jar({"b.jar": jar({"c.jar": bytes(4 << 20)})})})

    with pytest.raises(UnreadableError, match="larger than 2097152 bytes"):
        read_archive(io.BytesIO(bomb), "x.jar", 2 << 20)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        pytest.param({f"{SITE}/a.dist-info/METADATA": b"\xff\xfe\0" * 100}, "no Name and Version",
                     id="metadata"),
        pytest.param({"app/node_modules/x/package.json": b"{"}, "no package.json", id="npm"),
        pytest.param({"app/node_modules/x/package.json": b"[" * 1_000_000}, "no package.json",
                     id="nested"),
        pytest.param({"app/x.jar": b"PK"}, "no archive", id="jar"),
        pytest.param({"var/lib/rpm/rpmdb.sqlite": b"SQLite format 3\0" * 100}, "no database of rpm",
                     id="sqlite"),
        pytest.param({"var/lib/rpm/Packages.db": b"RpmP" + b"\xff" * 9000}, "pages of slots",
                     id="ndb"),
        pytest.param({"var/lib/rpm/Packages": b"\xff" * 9000}, "another magic", id="Berkeley DB"),
        pytest.param({"bin/app": go_binary(flags=0)}, "older than 1.18", id="old Go"),
    ],
)  # fmt: skip
def test_broken_file_is_skipped_and_told(files: Files, text: str) -> None:
    found = read(layer(files, python("a", "1")))

    assert names(found) == ["pypi a 1"]
    assert len(found.skipped) == 1
    assert text in found.skipped[0]


def test_view_that_never_ends_is_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS "
            "(SELECT x'00' UNION ALL SELECT blob FROM n) SELECT blob FROM n"
        )
    database.close()

    found = read(layer({"var/lib/rpm/rpmdb.sqlite": path.read_bytes()}))

    assert "no table 'Packages'" in found.skipped[0]


def test_name_that_is_no_text_does_no_harm() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", errors="surrogateescape") as archive:
        member = tarfile.TarInfo(f"\udcff/{next(iter(python('a', '1')))}")
        content = next(iter(python("a", "1").values()))
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    source = packed.getvalue()

    found = read_inventory([source_of(source)], ROOM, lambda: True)

    assert names(found) == ["pypi a 1"]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"no archive", LayerError, id="no archive"),
        pytest.param(layer(python("a", "1"))[:50], LayerError, id="cut off"),
        pytest.param(b"\x28\xb5\x2f\xfd" + b"\0" * 20, LayerError, id="zstd"),
        pytest.param(layer({"zeros": bytes(3 * 1024 * 1024)}), TooLargeError, id="too large"),
    ],
)
def test_hostile_layer_is_refused(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(content, room=2 * 1024 * 1024)


def source_of(content: bytes) -> LayerSource:
    return LayerSource("sha256:0", len(content), lambda: io.BytesIO(content))


def test_child_reads_layers() -> None:
    above = layer({f"{SITE}/.wh.a-1.dist-info": b""})
    plain = gzip.decompress(layer(DEBIAN, python("a", "1"), python("b", "1")))
    layers = [plain + bytes(3 << 20), above]

    found = read_inventory([source_of(one) for one in layers], ROOM, lambda: True)

    assert (found.release.id, names(found)) == ("debian", ["pypi b 1"])


@pytest.mark.parametrize(
    ("content", "room", "kind"),
    [
        pytest.param(b"no archive", ROOM, "UNREADABLE", id="no archive"),
        pytest.param(layer({"zeros": bytes(3 << 20)}), 1 << 20, "TOO_LARGE", id="too large"),
    ],
)
def test_child_tells_what_is_wrong(content: bytes, room: int, kind: str) -> None:
    with pytest.raises(ReadingError) as caught:
        read_inventory([source_of(content)], room, lambda: True)

    assert caught.value.kind == kind
    assert "sha256:0" in str(caught.value)


def test_child_ends_when_it_may_not_go_on() -> None:
    with pytest.raises(InterruptedError):
        read_inventory([source_of(layer({"a": b""}))], ROOM, lambda: False)


INVENTORY = Inventory(
    Release("debian", "12", "Debian 12"),
    (
        Package("deb", "libssl3", "3.0.1-1", "var/lib/dpkg/status", "sha256:1", "amd64"),
        Package("maven", "com.example:a", "1", "a.jar", "sha256:2"),
        Package("pypi", "Sample.Lib", "1.0", "x/METADATA", "sha256:2"),
        Package("golang", "example.com/a/b", "v1.0.0", "app", "sha256:2"),
        Package("npm", "@scope/x", "1.0.0", "package.json", "sha256:2"),
        Package("rpm", "r", "1:2-3", "rpmdb", "sha256:2", "x86_64"),
    ),
)
PURLS = [
    "pkg:deb/debian/libssl3@3.0.1-1?arch=amd64&distro=debian-12",
    "pkg:maven/com.example/a@1",
    "pkg:pypi/sample-lib@1.0",
    "pkg:golang/example.com/a/b@v1.0.0",
    "pkg:npm/%40scope/x@1.0.0",
    "pkg:rpm/debian/r@2-3?arch=x86_64&distro=debian-12&epoch=1",
]
SUBJECT = Subject("one", "sha256:" + "a" * 64, 1_700_000_000.0, "1")


def test_package_urls() -> None:
    assert [purl_of(one, INVENTORY.release) for one in INVENTORY.packages] == PURLS


def test_cyclonedx_names_every_package() -> None:
    document = json.loads(write_cyclonedx(INVENTORY, SUBJECT))

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    assert document["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert document["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    first, *others = document["components"]
    assert (first["type"], first["name"]) == ("operating-system", "debian")
    assert [one["purl"] for one in others] == PURLS
    assert write_cyclonedx(INVENTORY, SUBJECT) == write_cyclonedx(INVENTORY, SUBJECT)


def test_spdx_names_every_package() -> None:
    document = json.loads(write_spdx(INVENTORY, SUBJECT))

    assert document["spdxVersion"] == "SPDX-2.3"
    image, *packages = document["packages"]
    assert image["versionInfo"] == SUBJECT.digest
    assert [one["externalRefs"][0]["referenceLocator"] for one in packages] == PURLS
    ids = [one["SPDXID"] for one in document["packages"]]
    assert len(set(ids)) == len(ids)
    related = [one["relatedSpdxElement"] for one in document["relationships"]]
    assert related == ["SPDXRef-image", *ids[1:]]
