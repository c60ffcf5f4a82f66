"""The folder that backups are made in.

DIR/
  lock                     flock()ed by who works in it
  blobs/                   the bytes of all backups (`pool`)
  <time>/                  a backup, when it is complete
    backup.json            what it is; written last
    blobs.jsonl.gz         digest, key and size of each blob, in the order of the digests
    rows/<table>.jsonl.gz
    secret, credentials, settings.toml
  <time>.partial/          one that is being made, or was given up
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from ecrate.domain.errors import BackupUnusable
from ecrate.operations.backups.pool import Pool
from ecrate.operations.backups.rows import Rows, read_blobs, read_rows
from ecrate.operations.intake import Named

FORMAT: Final = 1
BLOBS: Final = "blobs.jsonl.gz"
_ABOUT: Final = "backup.json"
PARTIAL: Final = ".partial"
_NAME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")


class About(msgspec.Struct, frozen=True):
    """What a backup is. `files` are the SHA-256 of its other files, `damaged` the digests whose
    bytes the server did not have either.
    """

    format: int
    ecrate: str
    schema: int
    created_at: str
    rows: tuple[Rows, ...]
    blobs: Rows
    size: int
    sequences: dict[str, int]
    files: dict[str, str]
    damaged: tuple[str, ...] = ()


class Backup:
    """One complete backup."""

    def __init__(self, path: Path) -> None:
        """Raise `BackupUnusable` where it cannot be read, or is of a later format."""
        self.path = path
        try:
            content = (path / _ABOUT).read_bytes()
            found = msgspec.json.decode(content, type=dict[str, object]).get("format")
            if found != FORMAT:
                raise BackupUnusable(
                    f"{path} has format {found}, and this ecrate reads format {FORMAT}"
                )
            self.about = msgspec.json.decode(content, type=About)
        except (OSError, msgspec.MsgspecError) as error:
            raise BackupUnusable(f"{path / _ABOUT} cannot be read: {error}") from None

    @property
    def name(self) -> str:
        return self.path.name

    def blobs(self) -> Iterator[Named]:
        """Give digest, key and size of each blob, in the order of the digests."""
        return read_blobs(self.path / BLOBS, self.about.blobs)

    def rows(self, rows: Rows) -> Iterator[list[list[object]]]:
        return read_rows(rows_file(self.path, rows.table), rows)

    def owner(self) -> str:
        """Give the id of the database, by which blob stores know whose they are."""
        owners = [rows for rows in self.about.rows if rows.table == "installation"]
        found = [str(row[0]) for rows in owners for page in self.rows(rows) for row in page]
        if not found:
            raise BackupUnusable(f"{self.path} does not say of which database it is")
        return found[0]

    def files(self) -> dict[str, bytes]:
        """Give the other files by name; raises `BackupUnusable` where one is damaged."""
        found = {}
        for name, sha256 in self.about.files.items():
            try:
                found[name] = (self.path / name).read_bytes()
            except OSError as error:
                raise BackupUnusable(f"{self.path / name} cannot be read: {error}") from None
            if hashlib.sha256(found[name]).hexdigest() != sha256:
                raise BackupUnusable(f"{self.path / name} is damaged")
        return found


class DatedFolder:
    """A folder in which one works at a time, and things are named by when they were made; each is
    a folder that is complete once it has the file `about`.
    """

    def __init__(self, root: Path, about: str, what: str) -> None:
        self.root = root
        self._about = about
        self._what = what

    @contextmanager
    def locked(self, *, create: bool) -> Iterator[None]:
        """Keep others from working in the folder for a block; raises `BackupUnusable`."""
        try:
            if create:
                self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.root / "lock", os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
        except OSError as error:
            raise BackupUnusable(f"cannot use {self.root}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise BackupUnusable(f"another {self._what} is at work in {self.root}") from None
        finally:
            os.close(lock)

    def complete_ones(self) -> list[Path]:
        """Give those that are complete, the oldest first."""
        found = (path.parent for path in self.root.glob(f"*/{self._about}"))
        return sorted(path for path in found if path.suffix != PARTIAL)

    def new_name(self, now: float) -> str:
        """Give the name of a new one."""
        names = [path.name for path in self.complete_ones()]
        latest = max(filter(_NAME.fullmatch, names), default="")
        # In the order of their names as they were made, whatever the clock says.
        while (name := _name(now)) <= latest:
            now += 1
        return name

    def name_complete(self, path: Path) -> Path:
        """Give what is in `path`, written whole, its name, durably."""
        whole = path.with_suffix("")
        path.rename(whole)
        sync_folder(self.root)
        return whole


class BackupFolder(DatedFolder):
    """A folder of backups."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, _ABOUT, "backup")
        self.pool = Pool(root / "blobs")

    def backups(self) -> list[Path]:
        """Give the complete backups, the oldest first."""
        return self.complete_ones()

    def find(self, name: str | None) -> Backup:
        """Give the backup of this name, or the latest; raises `BackupUnusable`."""
        found = [path for path in self.backups() if name in (None, path.name)]
        if not found:
            what = "no backup" if name is None else f"no backup '{name}'"
            raise BackupUnusable(f"there is {what} in {self.root}")
        return Backup(found[-1])

    def begin(self, now: float) -> Path:
        """Make the folder of a new backup, and drop those that were given up."""
        for left in self.root.glob(f"*{PARTIAL}"):
            shutil.rmtree(left)
        path = self.root / f"{self.new_name(now)}{PARTIAL}"
        path.mkdir(mode=0o700)
        (path / "rows").mkdir(mode=0o700)
        return path

    def complete(self, path: Path, about: About) -> Backup:
        """Let the backup in `path` be one, durably."""
        self.pool.sync()
        write_file(path / _ABOUT, msgspec.json.format(msgspec.json.encode(about), indent=2) + b"\n")
        for folder in (path / "rows", path):
            sync_folder(folder)
        return Backup(self.name_complete(path))

    def keep(self, count: int) -> int:
        """Delete all backups but the latest `count`, and bytes that none has any more; give how
        many of both.
        """
        found = self.backups()
        old = found[: max(len(found) - count, 0)]
        for path in old:
            # From here on it is none, so that what is left of it does no harm.
            gone = path.with_suffix(PARTIAL)
            path.rename(gone)
            shutil.rmtree(gone)
        if not old:
            return 0
        lists = [(blob.digest for blob in Backup(path).blobs()) for path in self.backups()]
        return len(old) + self.pool.prune(lists)


def _name(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H-%M-%SZ")


def rows_file(path: Path, table: str) -> Path:
    """Give the file that a table's rows are in."""
    return path / "rows" / f"{table}.jsonl.gz"


def write_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, durably."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
