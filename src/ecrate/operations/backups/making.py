"""Making a backup, beside a running server.

The rows are read in one snapshot; then the bytes that they name are copied. Those never change, and
a hold keeps the collector from deleting any meanwhile, so the two fit together. What an earlier
backup in the folder has is not copied again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ecrate import __version__
from ecrate.blobs.verified import DamagedError, UnreadableError, VerifiedReader
from ecrate.domain.errors import StoreUnavailable
from ecrate.domain.names import Digest
from ecrate.operations.backups.folder import (
    BLOBS,
    FORMAT,
    About,
    Backup,
    BackupFolder,
    rows_file,
    write_file,
)
from ecrate.operations.backups.pool import Pool
from ecrate.operations.backups.rows import (
    Rows,
    read_blobs,
    read_sequences,
    write_lines,
    write_rows,
)
from ecrate.operations.core import Core
from ecrate.operations.holds import Hold, holding
from ecrate.operations.intake import Named
from ecrate.operations.pace import Pace
from ecrate.operations.parallel import each
from ecrate.operations.progress import Watcher
from ecrate.store import dump
from ecrate.store.database import SCHEMA_VERSION, Row

_JOBS: Final = 8
_TRIES: Final = 2


@dataclass(slots=True)
class Making:
    """A backup under way. With `copies`, bytes are copied even where they could be shared."""

    core: Core
    folder: BackupFolder
    watcher: Watcher
    pace: Pace
    copies: bool = False
    copied: int = 0
    damaged: list[str] = field(default_factory=list)


def make_backup(making: Making, files: Mapping[str, bytes]) -> Backup:
    """Make a backup of everything, with these files, which hold what is not in the database.

    Raises `BackupUnusable`, `HoldLost`; whatever it was, it goes on where it was when done again.
    `damaged` has the digests whose bytes could not be had.
    """
    core = making.core
    with making.folder.locked(create=True), holding(core) as hold:
        making.folder.pool.prepare()
        now = core.clock()
        path = making.folder.begin(now)
        rows, blobs, sequences, size = _write_all_rows(making, hold, path)
        _copy_blobs(making, hold, path, blobs, size)
        for name, content in files.items():
            write_file(path / name, content)
        about = About(
            format=FORMAT,
            ecrate=__version__,
            schema=SCHEMA_VERSION,
            created_at=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
            rows=rows,
            blobs=blobs,
            size=size,
            sequences=sequences,
            files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
            damaged=tuple(sorted(making.damaged)),
        )
        return making.folder.complete(path, about)


def _write_all_rows(
    making: Making, hold: Hold, path: Path
) -> tuple[tuple[Rows, ...], Rows, dict[str, int], int]:
    """Write the rows of one snapshot; give what was written, and the bytes of all blobs."""
    database = making.core.database
    with database.read() as tx:
        making.watcher.begin("rows", dump.count_rows(tx), "rows")
        written = []
        for table in dump.TABLES:
            pages = _told(making, hold, dump.read_rows(tx, table))
            written.append(write_rows(rows_file(path, table.name), table, pages))
        blobs = write_lines(path / BLOBS, "blobs", dump.list_blobs(tx))
        return tuple(written), blobs, read_sequences(database, tx), dump.sum_of_sizes(tx)


def _told(making: Making, hold: Hold, pages: Iterator[list[Row]]) -> Iterator[list[Row]]:
    for page in pages:
        yield page
        making.watcher.advance(len(page))
        hold.renew()


def _copy_blobs(making: Making, hold: Hold, path: Path, blobs: Rows, size: int) -> None:
    """Bring the bytes that the folder lacks into it."""
    making.watcher.begin("bytes", size, "bytes")

    def spend(count: int) -> None:
        making.watcher.advance(count)
        making.pace.spend(count)
        hold.renew()

    def lacking() -> Iterator[Named]:
        for blob in read_blobs(path / BLOBS, blobs):
            if making.folder.pool.has(Digest(blob.digest), blob.size):
                making.watcher.advance(blob.size)
                hold.renew()
            else:
                yield blob

    copying = Copying(making.core, making.folder.pool, spend, copies=making.copies)
    jobs = 1 if making.core.blobs.is_local else _JOBS
    for digest, is_there in each(copying.bring, lacking(), jobs=jobs):
        making.copied += is_there
        if not is_there:
            making.damaged.append(digest)


class Copying:
    """Copies the bytes of blobs into a pool; some threads may do so at once. With `copies`, they
    are copied even where they could be shared; `spend` is told of bytes that were read.
    """

    def __init__(
        self, core: Core, pool: Pool, spend: Callable[[int], None], *, copies: bool
    ) -> None:
        self._core = core
        self._pool = pool
        self._spend = spend
        self._copies = copies

    def bring(self, named: Named) -> tuple[str, bool]:
        """Copy the bytes of a blob; give its digest, and whether they could be had."""
        text, key, size = named
        digest, core = Digest(text), self._core
        for _ in range(_TRIES):
            try:
                self._copy(digest, key, size)
            except (FileNotFoundError, DamagedError) as error:
                if isinstance(error, UnreadableError) and not core.blobs.is_local:
                    raise StoreUnavailable from error
                with core.database.read() as tx:
                    # Somebody may have sent the layer again since.
                    key = dump.find_key(tx, text) or key
            else:
                return text, True
        return text, False

    def _copy(self, digest: Digest, key: str, size: int) -> None:
        blobs = self._core.blobs
        file = None if self._copies else blobs.file(key)
        if file is None or not self._pool.share(digest, size, file, self._spend):
            with VerifiedReader(blobs.open_blob(key), digest, size, self._spend) as source:
                self._pool.add(digest, source)
