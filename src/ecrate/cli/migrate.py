"""`ecrate migrate`: a server's data from one database and blob store to others."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecrate.cli.backup import lacking
from ecrate.cli.config import load_given
from ecrate.cli.data_directory import command_errors
from ecrate.cli.options import Parser
from ecrate.cli.rate import add_rate_option, make_pace
from ecrate.cli.steps import add_report_options, open_steps
from ecrate.cli.transfer import print_json

if TYPE_CHECKING:
    from ecrate.blobs.port import BlobStore
    from ecrate.operations.core import Core
    from ecrate.settings import Settings
    from ecrate.store.database import Database

SUMMARY = "move everything to another database and blob store"


def _parser() -> Parser:
    parser = Parser(
        "ecrate migrate --to-database URL --to-blobs URL [options]",
        add_help=True,
        description="Copy all rows and layers from one database and blob store to others of any "
        "kind, which must be empty. The server has to be stopped, but for --blobs-only. Broken "
        "off, it goes on when it is given again. The source stays as it is.",
        example="ecrate migrate --data /srv/ecrate --to-database postgresql://db/ecrate "
        "--to-blobs s3://layers/ecrate",
    )
    parser.add_argument("--config", metavar="FILE", help="the server's settings in TOML")
    parser.add_argument("--data", metavar="DIR", help="data directory (./data)")
    parser.add_argument("--from-database", metavar="URL", help="database (the settings')")
    parser.add_argument("--from-blobs", metavar="URL", help="blob store (the settings')")
    parser.add_argument("--to-database", metavar="URL", required=True, help="an empty database")
    parser.add_argument("--to-blobs", metavar="URL", required=True, help="an empty blob store")
    parser.add_argument(
        "--blobs-only",
        action="store_true",
        help="copy layers only, while the server runs, so that the rest takes less time later",
    )
    add_rate_option(parser, "unlimited", "are read from the layers")
    add_report_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Move everything and say what was moved; raises `CommandError`."""
    options = _parser().parse_args(arguments)
    with command_errors():
        told = _migrate(options)
    if options.json:
        print_json(told)
    else:
        print(_sentence(told, options))
    return 1 if told["damaged"] else 0


def _migrate(options: argparse.Namespace) -> dict[str, Any]:
    from ecrate.operations.migration import Migration, migrate
    from ecrate.settings import SettingError

    source = _settings(options, options.from_database, options.from_blobs)
    target = _settings(options, options.to_database, options.to_blobs)
    if (source.database, source.blobs) == (target.database, target.blobs):
        raise SettingError("what is to be migrated is where it is to go")
    with (
        open_steps(quiet=options.quiet) as steps,
        _source(source) as core,
        _target(target, core) as (database, blobs),
    ):
        migration = Migration(core, database, blobs, steps, make_pace(options.rate))
        migrate(migration, blobs_only=options.blobs_only)
    return {
        "rows": migration.rows,
        "copied": migration.copied,
        "damaged": sorted(migration.damaged),
        "database": _shown(target.database),
        "blobs": target.blobs,
    }


def _settings(options: argparse.Namespace, database: str | None, blobs: str | None) -> Settings:
    """Give the settings of one side, with its URLs in full."""
    from ecrate.drivers import Layout

    given = {"config": options.config, "data": options.data, "database": database, "blobs": blobs}
    settings, _ = load_given(given)
    layout = Layout.of(settings)
    is_file = not settings.blobs.startswith("s3://")
    return replace(
        settings,
        database=layout.database,
        blobs=f"file://{layout.blobs.absolute()}" if is_file else settings.blobs,
    )


@contextmanager
def _source(settings: Settings) -> Iterator[Core]:
    """Give what is to be moved; raises `SettingError`, `SchemaError`, `UnusableError`."""
    from ecrate.domain.names import RegistryRef
    from ecrate.drivers import Layout, open_blobs
    from ecrate.operations.core import Core
    from ecrate.operations.seals import Seals
    from ecrate.settings import SettingError
    from ecrate.store import engines
    from ecrate.store.database import check_schema

    if engines.find_schema(settings.database) is None:
        raise SettingError(f"there is no data in {_shown(settings.database)}")
    layout = Layout.of(settings)
    if settings.blobs.startswith("file://") and not (layout.blobs / "blobs").is_dir():
        raise SettingError(f"there are no layers in {settings.blobs}")
    database = engines.open_database(settings.database, connections=4)
    try:
        check_schema(database)
        blobs = open_blobs(settings, layout)
        registry = RegistryRef(settings.account_id, settings.region)
        # Nothing is sealed here: the secret stays what it was, and where it was.
        yield Core(database, blobs, Seals(b""), time.time, registry)
    finally:
        database.close()


@contextmanager
def _target(settings: Settings, source: Core) -> Iterator[tuple[Database, BlobStore]]:
    """Give the stores to move to, for a database that no node begins to use meanwhile; raises
    `SettingError`, `UnusableError`.
    """
    from ecrate.drivers import Layout, open_blobs, usable_database
    from ecrate.settings import SettingError
    from ecrate.store import engines
    from ecrate.store.installation import find_or_make_id

    layout = Layout.of(settings)
    blobs = open_blobs(settings, layout)
    try:
        blobs.check()
    except (OSError, ValueError) as error:
        raise SettingError(f"cannot use 'blobs' {settings.blobs}: {error}") from None
    with source.database.write() as tx:
        own = find_or_make_id(tx, source.new_id())
    if blobs.take_place(own) != own:
        raise SettingError(f"cannot use 'blobs' {settings.blobs}: they are another database's")
    with ExitStack() as opened:
        if settings.database.startswith("sqlite://"):
            Path(settings.database.removeprefix("sqlite://")).parent.mkdir(
                parents=True, exist_ok=True, mode=0o700
            )
        with usable_database(settings.database):
            opened.enter_context(engines.preparing(settings.database))
            database = engines.open_database(settings.database, connections=4)
        opened.callback(database.close)
        yield database, blobs


def _shown(url: str) -> str:
    from ecrate.store.engines import shown

    return shown(url)


def _sentence(told: dict[str, Any], options: argparse.Namespace) -> str:
    lines = [f"{told['copied']} layers copied to {told['blobs']}"]
    if not options.blobs_only:
        lines[0] += f", {told['rows']} rows to {told['database']}"
        lines.append(
            "start the server with `database` and `blobs` set to these, and the same `secret_file`"
        )
    return "\n".join([*lines, *lacking("the source", told["damaged"])])
