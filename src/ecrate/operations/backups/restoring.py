"""Restoring a backup into a database and a blob store that have nothing yet.

The bytes come first and the rows last, in one transaction: until then nothing is there, and whoever
begins again goes on with the bytes that are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ecrate.blobs.port import BlobStore
from ecrate.blobs.verified import DamagedError, VerifiedReader
from ecrate.domain.errors import TargetNotEmpty
from ecrate.domain.names import Digest
from ecrate.operations.backups.folder import Backup
from ecrate.operations.backups.pool import Pool
from ecrate.operations.intake import Intake, Named, open_file, read_through
from ecrate.operations.pace import Pace
from ecrate.operations.parallel import each
from ecrate.operations.progress import Watcher
from ecrate.store import dump
from ecrate.store.database import Database

_JOBS: Final = 8


@dataclass(slots=True)
class Restoring:
    """A restore under way. With `copies`, bytes are copied even where they could be shared.
    `damaged` gets the digests whose bytes the backup has not.
    """

    backup: Backup
    pool: Pool
    database: Database
    blobs: BlobStore
    watcher: Watcher
    pace: Pace
    copies: bool = False
    copied: int = 0
    damaged: list[str] = field(default_factory=list)


def restore_blobs(restoring: Restoring) -> None:
    """Bring the bytes that the blob store lacks into it, each with its digest checked."""
    about = restoring.backup.about
    restoring.damaged += about.damaged
    restoring.watcher.begin("bytes", about.size, "bytes")

    def spend(count: int) -> None:
        restoring.watcher.advance(count)
        restoring.pace.spend(count)

    intake = Intake(restoring.blobs, spend, copies=restoring.copies)

    def bring(blob: Named) -> tuple[str, bool]:
        file = restoring.pool.path(Digest(blob.digest))
        return blob.digest, intake.bring(blob, partial(open_file, file), file)

    jobs = 1 if restoring.blobs.is_local else _JOBS
    for digest, is_there in each(bring, _lacking(restoring), jobs=jobs):
        restoring.copied += is_there
        if not is_there:
            restoring.damaged.append(digest)


def _lacking(restoring: Restoring) -> Iterator[Named]:
    missing = set(restoring.backup.about.damaged)
    for blob in restoring.backup.blobs():
        if blob.digest in missing:
            continue
        if restoring.blobs.exists(blob.key, blob.size):
            restoring.watcher.advance(blob.size)
        else:
            yield blob


def restore_rows(restoring: Restoring) -> None:
    """Write all rows, into a schema of the backup's version; raises `TargetNotEmpty`,
    `BackupUnusable`, and then nothing is written.
    """
    about = restoring.backup.about
    restoring.watcher.begin("rows", sum(rows.count for rows in about.rows), "rows")
    with restoring.database.write() as tx:
        if not dump.is_empty(tx, [rows.table for rows in about.rows]):
            raise TargetNotEmpty("the database")
        for rows in about.rows:
            for page in restoring.backup.rows(rows):
                dump.insert_rows(tx, rows.table, rows.columns, [tuple(row) for row in page])
                restoring.watcher.advance(len(page))
        for table, value in about.sequences.items():
            restoring.database.set_sequence(tx, table, value)


def mark_damaged(database: Database, digests: Sequence[str], now: float) -> None:
    """Note which bytes the backup has not; the schema is this version's by now."""
    with database.write() as tx:
        for digest in digests:
            dump.mark_lost(tx, digest, now)


def verify_backup(backup: Backup, pool: Pool, watcher: Watcher, pace: Pace) -> list[str]:
    """Read all of a backup again; give the digests whose bytes are damaged or gone.

    Raises `BackupUnusable` where the rest of it is.
    """
    backup.files()
    watcher.begin("rows", sum(rows.count for rows in backup.about.rows), "rows")
    for rows in backup.about.rows:
        for page in backup.rows(rows):
            watcher.advance(len(page))
    watcher.begin("bytes", backup.about.size, "bytes")

    def spend(count: int) -> None:
        watcher.advance(count)
        pace.spend(count)

    missing = set(backup.about.damaged)
    damaged = []
    for blob in backup.blobs():
        digest = Digest(blob.digest)
        try:
            if blob.digest not in missing:
                source = open_file(pool.path(digest))
                read_through(VerifiedReader(source, digest, blob.size, spend))
        except (FileNotFoundError, DamagedError):
            damaged.append(blob.digest)
    return damaged
