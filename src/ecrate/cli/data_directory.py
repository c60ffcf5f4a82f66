"""Commands that work on the database itself, beside a running server or without one.

What they change holds from the server's next request on, and stands in the audit log if the
settings name one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import sqlite3
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ecrate.cli.options import CommandParser

if TYPE_CHECKING:
    from ecrate.operations.core import Core

# What a command does; an answer is printed as JSON, an iterator's as it comes.
Action = Callable[["Core", argparse.Namespace], object]


def make_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Give a parser with the options that all these commands take."""
    parser = CommandParser(prog=prog, description=description)
    add_data_options(parser)
    parser.add_argument("--account", metavar="ID", help="account (the root key's)")
    return parser


class Commands:
    """The commands of such a parser."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        self, name: str, action: Action, summary: str, event: str | None = None
    ) -> argparse.ArgumentParser:
        """Add one; `event` is what it is called in the audit log if it changes anything."""
        made = self._parsers.add_parser(name, help=summary, description=summary)
        made.set_defaults(action=action, event=event)
        return made


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server's data is meant."""
    parser.add_argument("--config", metavar="FILE", help="settings in TOML, as the server's")
    parser.add_argument("--data", metavar="DIR", help="data directory (./data)")
    parser.add_argument("--database", metavar="URL", help="database (in the data directory)")
    parser.set_defaults(event=None, account=None)


def add_region(parser: argparse.ArgumentParser) -> None:
    """Add the option that, with the account, names a registry."""
    parser.add_argument("--region", metavar="REGION", help="region (the server's default)")


def run_action(
    parser: argparse.ArgumentParser,
    arguments: list[str],
    *,
    prepare: Callable[[argparse.Namespace], None] | None = None,
) -> int:
    """Do what `options.action` says, with `options.registry` the one meant; print JSON, or one
    line on standard error.

    What has an `options.event` stands in the audit log. `prepare` may complete the options.
    """
    options = parser.parse_args(arguments)
    from ecrate.domain.errors import EcrateError
    from ecrate.settings import SettingError
    from ecrate.store.database import SchemaError, UnusableError

    try:
        with open_core(options, prepare=prepare) as core:
            _print(carry_out(core, options, parser.prog))
    except BrokenPipeError:
        raise  # whoever read our output has seen enough
    except (EcrateError, SettingError, SchemaError, UnusableError, OSError) as error:
        return _fail(str(error))
    return 0


@contextlib.contextmanager
def command_errors() -> Iterator[None]:
    """Turn what operations and settings raise into `CommandError`."""
    from ecrate.cli.failures import BAD_CONFIGURATION, CommandError
    from ecrate.domain.errors import EcrateError
    from ecrate.settings import SettingError
    from ecrate.store.database import SchemaError, UnusableError

    try:
        yield
    except (SettingError, SchemaError, UnusableError) as error:
        raise CommandError(f"ecrate: {error}", BAD_CONFIGURATION) from None
    except EcrateError as error:
        raise CommandError(f"ecrate: {error}") from None
    except sqlite3.DatabaseError as error:
        raise CommandError(f"ecrate: the database is damaged: {error}; restore a backup") from None


@contextlib.contextmanager
def open_core(
    options: argparse.Namespace, *, prepare: Callable[[argparse.Namespace], None] | None = None
) -> Iterator[Core]:
    """Give the core that the settings name, with `options.registry` the registry meant and
    `options.settings` all settings.

    Raises `SettingError`, `SchemaError`, `UnusableError`.
    """
    from ecrate.domain.names import RegistryRef
    from ecrate.drivers import Layout, build_core, open_audit
    from ecrate.settings import SettingError, load_settings
    from ecrate.store.engines import find_schema

    file = options.config or os.environ.get("ECRATE_CONFIG")
    given = {"data": options.data, "database": options.database}
    settings = load_settings(given, os.environ, Path(file) if file else None)
    layout = Layout.of(settings)
    if find_schema(layout.database) is None or not layout.secret.exists():
        raise SettingError(
            f"there is no data in {layout.data}; start the server once, or name its data "
            "directory with --data"
        )
    options.settings = settings
    region = getattr(options, "region", None) or settings.region
    options.registry = RegistryRef(options.account or settings.account_id, region)
    if prepare is not None:
        prepare(options)
    audit = open_audit(settings, layout, is_server=False)
    core = build_core(settings, layout, audit=audit)
    try:
        _check(core, layout.secret)
        yield core
    finally:
        core.database.close()


def _check(core: Core, secret: Path) -> None:
    """Raise `SchemaError`, or `SettingError` where the keys made here would be of no use."""
    from ecrate.operations.tokens import is_own_secret
    from ecrate.settings import SettingError
    from ecrate.store.database import check_schema

    check_schema(core.database)
    if not is_own_secret(core):
        raise SettingError(f"the secret in {secret} is not that of the database")


def carry_out(core: Core, options: argparse.Namespace, command: str) -> object:
    """Do what the command says, and record it if it changes anything."""
    from ecrate.domain.errors import EcrateError
    from ecrate.operations.audit import Event, record_operator

    if core.audit is None or options.event is None:
        return options.action(core, options)
    core.audit.check()
    hidden = {"action", "event", "config", "data", "database", "account", "registry", "settings"}
    event = Event(
        name=options.event,
        registry=options.registry,
        parameters={name: value for name, value in vars(options).items() if name not in hidden},
    )
    try:
        answer = options.action(core, options)
    except EcrateError as error:
        event.error_code, event.error_message = f"{type(error).__name__}Exception", str(error)
        record_operator(core, _user(), event, command=command)
        raise
    if isinstance(answer, dict):
        event.response = {name: value for name, value in answer.items() if name != "secret"}
    record_operator(core, _user(), event, command=command)
    return answer


def _user() -> str:
    """Give the operating system's user, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _fail(message: str) -> int:
    print(f"ecrate: {message}", file=sys.stderr)
    return 1


def _print(answer: object) -> None:
    if not isinstance(answer, Iterator):
        if answer is not None:
            print(json.dumps(answer, indent=4))
        return
    before = "["
    for one in answer:
        print(before)
        print(textwrap.indent(json.dumps(one, indent=4), "    "), end="")
        before = ","
    print("[]" if before == "[" else "\n]")


def time_of(seconds: float) -> str:
    """Write a time as the answers give it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
