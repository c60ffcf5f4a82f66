"""The folder that bundles are made in, and one of them.

DIR/
  lock                        flock()ed by who makes one
  <time>/                     a bundle, when it is complete; this is what is carried
    bundle.jws                what it is, signed; written last
    inventory/<section>.jsonl.gz    all that the registry has
    changes/<section>.jsonl.gz      what of that is new, or gone, since the bundle before
    blobs/                    the bytes that are new (`backups.pool`)
  <time>.partial/             one that is being made, or was broken off

The registry of the other side is brought to the inventory by the changes. The next bundle needs
the inventory of this one, so where it was made it stays; its blobs may go.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecrate.domain.errors import BackupUnusable, BundleRefused
from ecrate.operations.backups.folder import PARTIAL, DatedFolder, sync_folder, write_file
from ecrate.operations.backups.pool import Pool
from ecrate.operations.backups.rows import Rows, read_rows
from ecrate.signers.port import BadSignatureError

if TYPE_CHECKING:
    from ecrate.signers.trust import Trust

FORMAT: Final = 1
SECTIONS: Final = ("repositories", "policies", "images", "tags", "blobs", "advisories")
CONTENT_TYPE: Final = "application/vnd.ecrate.bundle.v1+json"
CRITICAL: Final = "io.ecrate.bundle"
_ABOUT: Final = "bundle.jws"
_LARGEST: Final = 4 * 1024 * 1024


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle is. `source` is the registry that it was made of, for good; `since` the id of
    the bundle whose state it goes on from, None for one that has everything; `size` the bytes of
    its blobs, and `damaged` are those whose bytes the source has not either.
    """

    format: int
    id: str
    name: str
    ecrate: str
    source: str
    created_at: float
    since: str | None
    inventory: tuple[Rows, ...]
    changes: tuple[Rows, ...]
    size: int
    damaged: tuple[str, ...] = ()


class Bundle:
    """A complete bundle. Nothing in it is believed before `verified`."""

    def __init__(self, path: Path, about: About, signer: str = "") -> None:
        self.path = path
        self.about = about
        self.signer = signer
        self.pool = Pool(path / "blobs")

    def inventory(self, section: str) -> Iterator[list[object]]:
        return self._rows("inventory", section, self.about.inventory)

    def changes(self, section: str) -> Iterator[list[object]]:
        """Give what is to be done: rows of the inventory, behind + or -."""
        return self._rows("changes", section, self.about.changes)

    def count(self, section: str) -> int:
        """Give how many changes there are."""
        return sum(rows.count for rows in self.about.changes if rows.table == section)

    def _rows(self, folder: str, section: str, listed: tuple[Rows, ...]) -> Iterator[list[object]]:
        for rows in listed:
            if rows.table == section:
                try:
                    path = self.path / folder / f"{section}.jsonl.gz"
                    for page in read_rows(path, rows):
                        yield from page
                except BackupUnusable as error:
                    raise BundleRefused(str(error)) from None


class BundleFolder(DatedFolder):
    """A folder of bundles."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, _ABOUT, "bundle")

    def find(self, name: str) -> Bundle:
        """Give the bundle of a name or an id, as it was made here; raises `BundleRefused`."""
        for path in reversed(self.complete_ones()):
            bundle = Bundle(path, _peek(path))
            if name in (path.name, bundle.about.id):
                return bundle
        raise BundleRefused(f"there is no bundle '{name}' in {self.root}")

    def begin(self, now: float) -> Path:
        """Make the folder of a new bundle; it gets the blobs of one that was broken off."""
        path = self.root / f"{self.new_name(now)}{PARTIAL}"
        left = sorted(self.root.glob(f"*{PARTIAL}"))
        if left and left[-1] != path:
            left[-1].rename(path)
        path.mkdir(mode=0o700, exist_ok=True)
        for name in ("inventory", "changes"):
            (path / name).mkdir(mode=0o700, exist_ok=True)
            for file in (path / name).iterdir():
                file.unlink()
        return path

    def complete(self, path: Path, pool: Pool, envelope: bytes) -> Path:
        """Let the bundle in `path` be one, durably."""
        pool.sync()
        for name in ("inventory", "changes"):
            sync_folder(path / name)
        write_file(path / _ABOUT, envelope)
        sync_folder(path)
        return self.name_complete(path)


def verified(path: Path, trust: Trust, now: float) -> Bundle:
    """Give the bundle in `path` if somebody who is trusted has signed what it says it has; raises
    `BundleRefused`. Its files are checked as they are read.
    """
    # Not before: `cryptography` comes with it, which takes its time.
    from ecrate.signers import jws  # noqa: PLC0415

    envelope = _read(path)
    try:
        signed = jws.read(envelope, content_type=CONTENT_TYPE, understood=frozenset({CRITICAL}))
        trust.check(signed.chain, now)
    except BadSignatureError as error:
        raise BundleRefused(f"{path} is not to be trusted: {error}") from None
    return Bundle(path, _about(path, signed.payload), signed.chain.name)


def _peek(path: Path) -> About:
    """Read what a bundle says it is, whoever has signed that."""
    try:
        encoded = str(msgspec.json.decode(_read(path), type=dict[str, object])["payload"])
        payload = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise BundleRefused(f"{path / _ABOUT} is not well formed: {error}") from None
    return _about(path, payload)


def _read(path: Path) -> bytes:
    file = path / _ABOUT
    if not file.is_file():
        raise BundleRefused(f"there is no bundle in {path}, or not all of one: it has no {_ABOUT}")
    with file.open("rb") as opened:
        content = opened.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise BundleRefused(f"{file} is larger than that of any bundle")
    return content


def _about(path: Path, payload: bytes) -> About:
    try:
        found = msgspec.json.decode(payload, type=dict[str, object]).get("format")
        if found != FORMAT:
            raise BundleRefused(f"{path} has format {found}, and this ecrate reads {FORMAT}")
        about = msgspec.json.decode(payload, type=About)
    except msgspec.MsgspecError as error:
        raise BundleRefused(f"{path / _ABOUT} is not well formed: {error}") from None
    for listed in (about.inventory, about.changes):
        if tuple(rows.table for rows in listed) != SECTIONS:
            raise BundleRefused(f"{path} has other sections than a bundle has")
    return about
