"""`ecrate backup`: everything a server has into a folder, beside the running server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ecrate.cli.data_directory import add_data_options, carry_out, command_errors, open_core
from ecrate.cli.options import Parser
from ecrate.cli.rate import add_rate_option, make_pace
from ecrate.cli.steps import add_report_options, open_steps
from ecrate.cli.transfer import print_json

if TYPE_CHECKING:
    from ecrate.operations.backups.folder import Backup
    from ecrate.operations.core import Core
    from ecrate.settings import Settings

SUMMARY = "back up everything into a folder"
# Where something is, on the machine that is backed up, and what nobody else is to know.
_LEFT_OUT: Final = frozenset(
    {"data", "database", "blobs", "secret_file", "new_secret"}
    | {"s3_access_key_id", "s3_secret_access_key"}
)


def _parser() -> Parser:
    parser = Parser(
        "ecrate backup DIR [options]",
        add_help=True,
        description="Write database, layers, secret, credentials and settings into a folder, "
        "beside a running server or without one. A second backup in the folder copies only layers "
        "that it lacks. The exit code is 1 where the server itself lacks some.",
        example="ecrate backup /mnt/backups --data /srv/ecrate --keep 7",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of backups; made if missing")
    parser.add_argument(
        "--keep", type=_at_least_one, metavar="N", help="keep the latest N backups only"
    )
    parser.add_argument(
        "--verify", action="store_true", help="read everything again when it is written"
    )
    parser.add_argument(
        "--copy",
        action="store_true",
        help="copy layers even where the folder can share them with the server's disk",
    )
    add_rate_option(parser, "unlimited", "are read from the layers")
    add_report_options(parser)
    add_data_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Make the backup and print its name; raises `CommandError`."""
    options = _parser().parse_args(arguments)
    options.action = _back_up
    with command_errors(), open_core(options) as core:
        told = carry_out(core, options, "ecrate backup")
    assert isinstance(told, dict)  # noqa: S101 - made below
    if options.json:
        print_json(told)
    else:
        print(_sentence(told))
    return 1 if told["damaged"] else 0


def _back_up(core: Core, options: argparse.Namespace) -> dict[str, Any]:
    from ecrate.operations.backups.folder import BackupFolder
    from ecrate.operations.backups.making import Making, make_backup
    from ecrate.operations.backups.restoring import verify_backup

    folder = BackupFolder(Path(options.folder).absolute())
    with open_steps(quiet=options.quiet) as steps:
        making = Making(core, folder, steps, make_pace(options.rate), copies=options.copy)
        backup = make_backup(making, _files(options.settings))
        damaged = list(making.damaged)
        if options.verify:
            damaged += verify_backup(backup, folder.pool, steps, make_pace(options.rate))
    deleted = folder.keep(options.keep) if options.keep else 0
    return _told(backup, making.copied, damaged, deleted)


def _files(settings: Settings) -> dict[str, bytes]:
    """Give what is not in the database."""
    from ecrate.drivers import Layout

    layout = Layout.of(settings)
    found = {"secret": layout.secret.read_bytes(), "settings.toml": _toml(settings)}
    if layout.credentials.exists():
        found["credentials"] = layout.credentials.read_bytes()
    return found


def _toml(settings: Settings) -> bytes:
    """Write the settings that are not the first ones, so that `--config` takes them."""
    first = type(settings)()
    lines = ["# The settings of the server when it was backed up, but for where things are."]
    for name in settings.__dataclass_fields__:
        value = getattr(settings, name)
        if name not in _LEFT_OUT and value != getattr(first, name):
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join([*lines, ""]).encode()


def _told(backup: Backup, copied: int, damaged: list[str], deleted: int) -> dict[str, Any]:
    about = backup.about
    return {
        "name": backup.name,
        "path": str(backup.path),
        "createdAt": about.created_at,
        "rows": sum(rows.count for rows in about.rows),
        "layers": about.blobs.count,
        "size": about.size,
        "copied": copied,
        "damaged": sorted(set(damaged)),
        "deleted": deleted,
    }


def _sentence(told: dict[str, Any]) -> str:
    from ecrate.cli.progress import human_size

    size = human_size(told["size"])
    new = f"{told['copied']} of them new"
    first = f"{told['path']}: {told['layers']} layers of {size}, {new}; {told['rows']} rows"
    return "\n".join([first, *lacking("the server", told["damaged"])])


def lacking(who: str, digests: list[str]) -> list[str]:
    """Give a line for each digest whose bytes somebody has not."""
    return [
        f"{who} has not the bytes of {digest}; `ecrate fsck` tells what needs them"
        for digest in digests
    ]


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be at least 1")
    return number
