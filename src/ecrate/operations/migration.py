"""Moving all there is from one database and blob store to others of any kind.

Bytes go first, under the keys they have, and rows last, from one snapshot into one transaction. So
it can be broken off and begun again, and the target is either empty or whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from ecrate.blobs.port import BlobStore
from ecrate.domain.errors import MigrationFailed, ServerRunning, TargetNotEmpty
from ecrate.operations.backups.rows import RowHasher, read_sequences
from ecrate.operations.collection import LEASE
from ecrate.operations.core import Core
from ecrate.operations.holds import holding
from ecrate.operations.intake import Intake, Named
from ecrate.operations.pace import Pace
from ecrate.operations.parallel import each
from ecrate.operations.progress import Watcher
from ecrate.store import dump
from ecrate.store.database import Database, Transaction
from ecrate.store.leases import find_lease

_JOBS: Final = 8
_PAGE: Final = 1000


@dataclass(slots=True)
class Migration:
    """A migration under way from `source` to `database` and `blobs`. `damaged` gets the digests
    whose bytes the source has not; `last_id` is the last blob looked at.
    """

    source: Core
    database: Database
    blobs: BlobStore
    watcher: Watcher
    pace: Pace
    copied: int = 0
    rows: int = 0
    damaged: list[str] = field(default_factory=list)
    last_id: int = 0


def migrate(migration: Migration, *, blobs_only: bool = False) -> None:
    """Move everything; with `blobs_only` just the bytes, while the source may be in use.

    Raises `ServerRunning`, `TargetNotEmpty`, `MigrationFailed`.
    """
    if not blobs_only:
        _check_stopped(migration)
    with migration.database.read() as tx:
        if not dump.is_empty(tx):
            raise TargetNotEmpty("the database to migrate to")
    with holding(migration.source) as hold:
        _copy_blobs(migration, hold.renew)
        while not blobs_only and not _move_rows(migration, hold.renew):
            _copy_blobs(migration, hold.renew)


def _check_stopped(migration: Migration) -> None:
    with migration.source.database.read() as tx:
        lease = find_lease(tx, LEASE)
    if lease is not None and lease[1] > migration.source.clock():
        raise ServerRunning(round(lease[1] - migration.source.clock()))


def _copy_blobs(migration: Migration, renew: Callable[[], None]) -> None:
    """Bring the bytes of blobs that came since the last time, and that the target lacks."""
    with migration.source.database.read() as tx:
        migration.watcher.begin("bytes", dump.sum_of_sizes(tx), "bytes")

    def spend(count: int) -> None:
        migration.watcher.advance(count)
        migration.pace.spend(count)
        renew()

    source = migration.source.blobs
    intake = Intake(migration.blobs, spend, is_near=source.is_local)

    def bring(blob: Named) -> tuple[str, bool]:
        open_source = partial(source.open_blob, blob.key)
        return blob.digest, intake.bring(blob, open_source, source.file(blob.key))

    jobs = 1 if migration.blobs.is_local and source.is_local else _JOBS
    for digest, is_there in each(bring, _lacking(migration, renew), jobs=jobs):
        migration.copied += is_there
        if not is_there:
            migration.damaged.append(digest)


def _lacking(migration: Migration, renew: Callable[[], None]) -> Iterator[Named]:
    while True:
        with migration.source.database.read() as tx:
            page = dump.list_blobs_behind(tx, migration.last_id, _PAGE)
        if not page:
            return
        for blob_id, digest, key, size in page:
            blob = Named(digest, key, size)
            if migration.blobs.exists(blob.key, blob.size):
                migration.watcher.advance(blob.size)
                renew()
            else:
                yield blob
            migration.last_id = blob_id


def _move_rows(migration: Migration, renew: Callable[[], None]) -> bool:
    """Write the rows of one snapshot, and read them back before they count; False, with nothing
    written, where that snapshot has blobs that are not copied yet.
    """
    now = migration.source.clock()
    source, target = migration.source.database, migration.database
    with source.read() as old, target.write() as new:
        if dump.list_blobs_behind(old, migration.last_id, 1):
            return False
        if not dump.is_empty(new):
            raise TargetNotEmpty("the database to migrate to")
        migration.watcher.begin("rows", 2 * dump.count_rows(old), "rows")
        written = [_move_table(migration, old, new, table, renew) for table in dump.TABLES]
        for table, sha256 in zip(dump.TABLES, written, strict=True):
            if _digest_of(migration, new, table, renew) != sha256:
                raise MigrationFailed(f"table {table.name} came out otherwise than it went in")
        for name, value in read_sequences(source, old).items():
            target.set_sequence(new, name, value)
        for digest in migration.damaged:
            dump.mark_lost(new, digest, now)
    return True


def _move_table(
    migration: Migration,
    old: Transaction,
    new: Transaction,
    table: dump.Table,
    renew: Callable[[], None],
) -> str:
    hasher = RowHasher()
    for page in dump.read_rows(old, table):
        for row in page:
            hasher.line(row)
        dump.insert_rows(new, table.name, table.columns, page)
        migration.watcher.advance(len(page))
        renew()
    migration.rows += hasher.count
    return hasher.hexdigest()


def _digest_of(
    migration: Migration, tx: Transaction, table: dump.Table, renew: Callable[[], None]
) -> str:
    hasher = RowHasher()
    for page in dump.read_rows(tx, table):
        for row in page:
            hasher.line(row)
        migration.watcher.advance(len(page))
        renew()
    return hasher.hexdigest()
