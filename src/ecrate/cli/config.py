"""`ecrate config`: the server's settings as they would hold, and where each comes from."""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ecrate.cli.failures import BAD_COMMAND, BAD_CONFIGURATION, CommandError
from ecrate.cli.options import CommandParser
from ecrate.cli.plain_text import table_lines
from ecrate.cli.transfer import print_json

if TYPE_CHECKING:
    from ecrate.settings import Settings

SUMMARY = "show or check the server's settings"
_USAGE: Final = "usage: ecrate config show|check [options of `ecrate serve`] [--json]"
_HELP: Final = f"""{_USAGE}

show prints every setting with its value and where that comes from, as TOML
that --config takes; check says what would keep the server from starting. Both
see what `ecrate serve` sees: its options, the environment, the file of --config
or ECRATE_CONFIG. Secrets are not shown.

example: ecrate config check --config /etc/ecrate.toml
"""
_HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(r"(secret|password|token)(_access_key)?$")
_URL_PASSWORD: Final = re.compile(r"(://[^/@\s:]*:)[^@\s]*@")
_URL_SECRET: Final = re.compile(
    r"([?&][^=&]*(?:secret|password|token|key)[^=&]*=)[^&'\s]*", re.IGNORECASE
)


def run(arguments: list[str]) -> int:
    """Print the settings, or that they are good; raises `CommandError`."""
    action = arguments[0] if arguments else "--help"
    if action in ("help", "--help", "-h"):
        print(_HELP, end="")
        return 0 if arguments else BAD_COMMAND
    if action not in ("show", "check"):
        problem = f"ecrate: '{action}' is neither show nor check"
        raise CommandError(problem, BAD_COMMAND, advice=_USAGE)
    given = vars(parser().parse_args(arguments))
    del given["action"]
    is_json = given.pop("json")
    settings, sources = load_given(given)
    told = [
        {
            "name": name,
            "value": _shown(name, getattr(settings, name)),
            "source": sources.get(name, "default"),
        }
        for name in settings.__dataclass_fields__
    ]
    if action == "show":
        _show(told, is_json=is_json)
    else:
        _check_certificate(settings)
        _tell_good(list(sources), is_json=is_json)
    return 0


def parser() -> argparse.ArgumentParser:
    """Give the parser of the words behind `ecrate config`."""
    from ecrate.cli import serve

    made = CommandParser(prog="ecrate config", description=SUMMARY)
    actions = made.add_subparsers(dest="action", required=True)
    for action, told in (("show", "print every setting"), ("check", "say what is wrong")):
        one = actions.add_parser(
            action,
            parents=[serve.parser()],
            conflict_handler="resolve",
            help=told,
            description="The options are those of `ecrate serve`. See `ecrate config --help`.",
        )
        one.add_argument("--json", action="store_true", help="print JSON")
    return made


def load_given(given: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """Load what the options of `ecrate serve` make of the settings, with the sources.

    Raises `CommandError`.
    """
    from ecrate.settings import SettingError, trace_settings

    options = dict(given)
    file = options.pop("config", None) or os.environ.get("ECRATE_CONFIG")
    try:
        return trace_settings(options, os.environ, Path(file) if file else None)
    except SettingError as error:
        raise CommandError(f"ecrate: {_without_secrets(str(error))}", BAD_CONFIGURATION) from None


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str):
        return value
    return _HIDDEN if value and _SECRET_NAME.search(name) else _without_secrets(value)


def _without_secrets(text: str) -> str:
    return _URL_SECRET.sub(rf"\1{_HIDDEN}", _URL_PASSWORD.sub(rf"\1{_HIDDEN}@", text))


def _show(settings: list[dict[str, Any]], *, is_json: bool) -> None:
    if is_json:
        print_json({"settings": settings})
        return
    rows = [(f"{e['name']} = {_toml(e['value'])}", f"# {e['source']}") for e in settings]
    print("\n".join(table_lines(rows)))


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _check_certificate(settings: Settings) -> None:
    """Load what TLS needs, as the start does; raises `CommandError`."""
    if not settings.tls_certificate and not settings.tls_key:
        return
    from ecrate.app import load_certificate
    from ecrate.settings import SettingError

    try:
        load_certificate(settings)
    except SettingError as error:
        raise CommandError(f"ecrate: {error}", BAD_CONFIGURATION) from None


def _tell_good(changed: list[str], *, is_json: bool) -> None:
    if is_json:
        print_json({"ok": True, "set": changed})
    else:
        print(f"ok; set are: {', '.join(changed) or 'none'}")
