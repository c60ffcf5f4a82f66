"""`ecrate restore`: a server's data out of a backup, into a data directory that is empty."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ecrate.cli.backup import lacking
from ecrate.cli.config import load_given
from ecrate.cli.data_directory import add_data_options, command_errors
from ecrate.cli.options import Parser
from ecrate.cli.rate import add_rate_option, make_pace
from ecrate.cli.steps import add_report_options, open_steps
from ecrate.cli.transfer import print_json

if TYPE_CHECKING:
    from ecrate.blobs.port import BlobStore
    from ecrate.drivers import Layout
    from ecrate.operations.backups.folder import Backup, BackupFolder
    from ecrate.operations.backups.restoring import Restoring
    from ecrate.settings import Settings
    from ecrate.store.database import Database

SUMMARY = "restore a backup into an empty data directory"
_SETTINGS: Final = "settings.toml"
# Whether these have anything in them is looked at by themselves.
_MAY_BE_THERE: Final = frozenset(
    {"lock", "restoring.new", "blobs", "uploads"}
    | {"ecrate.db", "ecrate.db-wal", "ecrate.db-shm", "ecrate.db.lock"}
)


def _parser() -> Parser:
    parser = Parser(
        "ecrate restore DIR [options]",
        add_help=True,
        description="Make database, layers, secret and credentials of a backup, in a data "
        "directory that is empty, or wherever the settings say, empty as well. Broken off, it "
        "goes on when it is given again. The exit code is 1 where the backup lacks some layers.",
        example="ecrate restore /mnt/backups --data /srv/ecrate",
    )
    parser.add_argument("folder", metavar="DIR", help="folder that `ecrate backup` wrote")
    parser.add_argument("--backup", metavar="NAME", help="which of its backups (the latest)")
    parser.add_argument(
        "--copy",
        action="store_true",
        help="copy layers even where the disk can share them with the folder",
    )
    add_rate_option(parser, "unlimited", "are read from the backup")
    add_report_options(parser)
    add_data_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Restore and say what was restored; raises `CommandError`."""
    options = _parser().parse_args(arguments)
    given = {"data": options.data, "database": options.database, "config": options.config}
    settings, _ = load_given(given)
    from ecrate.drivers import Layout
    from ecrate.operations.backups.folder import BackupFolder

    folder, layout = BackupFolder(Path(options.folder).absolute()), Layout.of(settings)
    with command_errors(), folder.locked(create=False), _locked(layout):
        backup = folder.find(options.backup)
        _check_version(backup)
        with _begun(layout, backup) as is_resumed:
            told = _restore(options, _Target(settings, layout, folder, backup, is_resumed))
    if options.json:
        print_json(told)
    else:
        print(_sentence(told))
    return 1 if told["damaged"] else 0


@contextlib.contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    from ecrate.app import lock_data

    lock = lock_data(layout.data)
    try:
        yield
    finally:
        os.close(lock)


def _check_version(backup: Backup) -> None:
    from ecrate.domain.errors import BackupUnusable
    from ecrate.store.database import SCHEMA_VERSION

    if backup.about.schema > SCHEMA_VERSION:
        raise BackupUnusable(
            f"{backup.path} was made by a newer ecrate ({backup.about.ecrate}, schema "
            f"{backup.about.schema}); restore it with that version"
        )


@contextlib.contextmanager
def _begun(layout: Layout, backup: Backup) -> Iterator[bool]:
    """Note for a block that a restore is under way, so that no server starts meanwhile; give
    whether it goes on with one that was broken off. Raises `TargetNotEmpty`.
    """
    from ecrate.domain.errors import TargetNotEmpty
    from ecrate.drivers import write_private
    from ecrate.settings import SettingError

    is_resumed = layout.restoring.exists()
    if is_resumed:
        begun = layout.restoring.read_text(encoding="utf-8").strip()
        if begun != str(backup.path):
            raise TargetNotEmpty(f"{layout.data}, where a restore of {begun} has not ended,")
    elif {path.name for path in layout.data.iterdir()} - _MAY_BE_THERE:
        raise TargetNotEmpty(f"data directory {layout.data}")
    write_private(layout.restoring, f"{backup.path}\n")
    try:
        yield is_resumed
    except (TargetNotEmpty, SettingError):
        # Nothing was begun.
        if not is_resumed:
            layout.restoring.unlink()
        raise
    layout.restoring.unlink()


@dataclass(frozen=True, slots=True)
class _Target:
    """What is restored, and where to."""

    settings: Settings
    layout: Layout
    folder: BackupFolder
    backup: Backup
    is_resumed: bool


def _restore(options: argparse.Namespace, target: _Target) -> dict[str, Any]:
    from ecrate.operations.backups.restoring import Restoring, mark_damaged

    backup, layout = target.backup, target.layout
    files, pace = backup.files(), make_pace(options.rate)
    from ecrate.store.database import SCHEMA_VERSION

    with open_steps(quiet=options.quiet) as steps:
        with _prepared(layout.database, backup.about.schema) as database:
            is_filled = _is_filled(target, database)
            blobs = _open_blobs(target)
            pool = target.folder.pool
            restoring = Restoring(backup, pool, database, blobs, steps, pace, copies=options.copy)
            _fill(restoring, is_filled=is_filled)
        # An earlier version's backup is brought up to this one.
        with _prepared(layout.database, SCHEMA_VERSION) as database:
            mark_damaged(database, restoring.damaged, time.time())
    _write_files(layout, files)
    about = backup.about
    return {
        "name": backup.name,
        "createdAt": about.created_at,
        "data": str(layout.data),
        "rows": sum(rows.count for rows in about.rows),
        "layers": about.blobs.count,
        "size": about.size,
        "copied": restoring.copied,
        "damaged": sorted(restoring.damaged),
        "settings": str(layout.data / _SETTINGS),
    }


@contextlib.contextmanager
def _prepared(url: str, version: int) -> Iterator[Database]:
    """Give the database with the schema of a version; raises `SettingError`."""
    from ecrate.drivers import usable_database
    from ecrate.store import engines

    with contextlib.ExitStack() as opened:
        with usable_database(url):
            database = opened.enter_context(engines.preparing(url, version))
        yield database


def _is_filled(target: _Target, database: Database) -> bool:
    """Tell whether the rows are there already, of a restore that was broken off behind them;
    raises `TargetNotEmpty` for any others.
    """
    from ecrate.domain.errors import TargetNotEmpty
    from ecrate.store import dump

    with database.read() as tx:
        is_empty = dump.is_empty(tx, [rows.table for rows in target.backup.about.rows])
    if not is_empty and not target.is_resumed:
        raise TargetNotEmpty("the database")
    return not is_empty


def _open_blobs(target: _Target) -> BlobStore:
    """Give the blob store: one that is empty, or that still has the bytes of this very database.

    Raises `TargetNotEmpty`, `SettingError`.
    """
    from ecrate.domain.errors import TargetNotEmpty
    from ecrate.drivers import open_blobs
    from ecrate.settings import SettingError

    blobs = open_blobs(target.settings, target.layout)
    place = target.settings.blobs or str(target.layout.blobs)
    try:
        blobs.check()
    except ValueError as error:
        raise SettingError(f"cannot use 'blobs' {place}: {error}") from None
    if blobs.is_local:
        is_empty = next(blobs.list_keys(float("inf")), None) is None
        is_usable = is_empty or target.is_resumed
    else:
        own = target.backup.owner()
        is_usable = blobs.take_place(own) == own
    if not is_usable:
        raise TargetNotEmpty(f"blob store {place}")
    return blobs


def _fill(restoring: Restoring, *, is_filled: bool) -> None:
    from ecrate.operations.backups.restoring import restore_blobs, restore_rows

    restore_blobs(restoring)
    if not is_filled:
        restore_rows(restoring)


def _write_files(layout: Layout, files: dict[str, bytes]) -> None:
    from ecrate.domain.errors import TargetNotEmpty
    from ecrate.drivers import write_private

    places = {
        "secret": layout.secret,
        "credentials": layout.credentials,
        _SETTINGS: layout.data / _SETTINGS,
    }
    if layout.secret.exists() and layout.secret.read_bytes() != files["secret"]:
        raise TargetNotEmpty(f"secret file {layout.secret}, which has another secret,")
    for name, path in places.items():
        if name in files:
            write_private(path, files[name].decode())


def _sentence(told: dict[str, Any]) -> str:
    from ecrate.cli.progress import human_size

    what = f"{told['layers']} layers of {human_size(told['size'])} and {told['rows']} rows"
    lines = [
        f"{told['data']}: as it was at {told['createdAt']}, with {what}",
        f"the server's settings then are in {told['settings']}",
    ]
    return "\n".join([*lines, *lacking("the backup", told["damaged"])])
