"""`ecrate advisories`: what images are matched with when they are scanned."""

from __future__ import annotations

import argparse
import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from ecrate.cli.data_directory import Commands, make_parser, run_action, time_of

if TYPE_CHECKING:
    from ecrate.operations.core import Core

SUMMARY = "import advisories to scan with"

_LARGEST_DOWNLOAD: Final = 4 * 1024 * 1024 * 1024
_LARGEST_DOCUMENT: Final = 16 * 1024 * 1024
_PIECE: Final = 1024 * 1024
_TIMEOUT: Final = 60.0


def run(arguments: list[str]) -> int:
    """Run one of the commands; prints JSON, or one line on standard error."""
    return run_action(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("ecrate advisories", "Import advisories in OSV format, and see them.")
    command = Commands(parser).add
    made = command("import", _import, "import advisories, those that are newer", "ImportAdvisories")
    made.add_argument(
        "source",
        metavar="FILE-OR-DIR-OR-URL",
        help="an all.zip of osv.dev, a document, a folder of them, or a URL of the first two",
    )
    made.add_argument("--replace", action="store_true", help="let all others hold no longer")
    command("status", _status, "tell how many are in force, and since when")
    return parser


def _import(core: Core, options: argparse.Namespace) -> object:
    from ecrate.operations.advisories import import_advisories

    with _local(options.source) as path:
        imported = import_advisories(
            core, options.source, _documents(path), replaces=options.replace
        )
    return {
        "documents": imported.documents,
        "new": imported.new,
        "removed": imported.removed,
        "number": imported.number,
        "refused": imported.refused,
    }


def _status(core: Core, _: argparse.Namespace) -> object:
    from ecrate.operations.advisories import describe_advisories

    found = describe_advisories(core)
    told: dict[str, Any] = {"number": found.number, "advisories": found.advisories}
    if found.updated_at is not None:
        told["updated_at"] = time_of(found.updated_at)
    return {**told, "packages": found.packages}


@contextlib.contextmanager
def _local(source: str) -> Iterator[Path]:
    """Give where the source is on disk, fetched first where it is a URL; raises `ImportRefused`."""
    if not source.startswith(("http://", "https://")):
        yield Path(source)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="ecrate-advisories-") as folder:
        path = Path(folder) / "fetched"
        _fetch(source, path)
        yield path


def _fetch(url: str, path: Path) -> None:
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import urlopen

    from ecrate.domain.errors import ImportRefused

    size = 0
    try:
        with urlopen(url, timeout=_TIMEOUT) as answer, path.open("wb") as file:  # noqa: S310 - http(s), as checked
            while piece := answer.read(_PIECE):
                size += len(piece)
                if size > _LARGEST_DOWNLOAD:
                    raise ImportRefused(f"{url} has more than {_LARGEST_DOWNLOAD} bytes")
                file.write(piece)
    except (URLError, HTTPException, ValueError) as error:
        raise ImportRefused(f"cannot fetch {url}: {getattr(error, 'reason', error)}") from None


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Give each document with its name; no more of one is read than an advisory may have."""
    if path.is_dir():
        for one in sorted(path.rglob("*.json")):
            with one.open("rb") as file:
                yield str(one), _read(file)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".json"):
                    yield name, _member(archive, name)
    else:
        with path.open("rb") as file:
            yield str(path), _read(file)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    import zlib

    try:
        with archive.open(name) as file:
            return _read(file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        # What cannot be unpacked is no document, which is said of it by its name.
        return b""


def _read(file: IO[bytes]) -> bytes:
    return file.read(_LARGEST_DOCUMENT + 1)
