"""The options every call takes, wherever they stand on the command line."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from typing_extensions import override

from ecrate.cli.failures import BAD_COMMAND, CommandError, nearest


@dataclass(frozen=True, slots=True)
class CommonOption:
    """One of them: `type` is what help calls its value, `settings` goes to argparse."""

    name: str
    type: str
    help: str
    settings: dict[str, Any]


FORMS: Final = ("json", "text", "table", "yaml", "yaml-stream")
BINARY_FORMATS: Final = ("base64", "raw-in-base64-out")
_ON: Final = {"action": "store_true"}

COMMON_OPTIONS: Final = (
    CommonOption("debug", "boolean", "Tell each request and answer on standard error.", _ON),
    CommonOption(
        "endpoint-url",
        "string",
        "Address of the server, instead of AWS_ENDPOINT_URL_ECR, AWS_ENDPOINT_URL, the profile's "
        "endpoint_url, or http://127.0.0.1:5100.",
        {},
    ),
    CommonOption(
        "no-verify-ssl",
        "boolean",
        "Accept any certificate over https.",
        {"action": "store_false", "dest": "verify_ssl"},
    ),
    CommonOption(
        "no-paginate",
        "boolean",
        "Make one call only, for the first page of results.",
        {"action": "store_false", "dest": "paginate"},
    ),
    CommonOption(
        "output",
        "string",
        f"Form of the output: {', '.join(FORMS)}.",
        {"choices": FORMS},
    ),
    CommonOption("query", "string", "JMESPath expression that selects from the answer.", {}),
    CommonOption(
        "profile", "string", "Section of the credentials and configuration files to use.", {}
    ),
    CommonOption("region", "string", "Region, instead of AWS_REGION or the profile's.", {}),
    CommonOption(
        "color",
        "string",
        "Colours in tables: on, off, or auto (on a terminal).",
        {"choices": ("on", "off", "auto"), "default": "auto"},
    ),
    CommonOption(
        "no-sign-request",
        "boolean",
        "Send requests without credentials.",
        {"action": "store_false", "dest": "sign_request"},
    ),
    CommonOption("ca-bundle", "string", "File of certificates to trust over https.", {}),
    CommonOption(
        "cli-read-timeout",
        "int",
        "Seconds to wait for an answer (60); 0 waits without end.",
        {"type": int, "default": 60, "dest": "read_timeout"},
    ),
    CommonOption(
        "cli-connect-timeout",
        "int",
        "Seconds to wait for a connection (60); 0 waits without end.",
        {"type": int, "default": 60, "dest": "connect_timeout"},
    ),
    CommonOption(
        "cli-binary-format",
        "string",
        "How bytes are written on the command line and in input files: raw-in-base64-out (as they "
        "are; the default) or base64. Those of a fileb:// are always taken as they are.",
        {"choices": BINARY_FORMATS, "dest": "binary_format"},
    ),
    CommonOption(
        "no-cli-pager",
        "boolean",
        "Print at once, without AWS_PAGER, cli_pager or PAGER, on a terminal too.",
        {"action": "store_false", "dest": "pager"},
    ),
    CommonOption(
        "no-cli-auto-prompt",
        "boolean",
        "Ask for nothing, which ecrate never does; for scripts that say so.",
        {"action": "store_false", "dest": "auto_prompt"},
    ),
)


_ABOUT_ANSWERS: Final = (
    "no-paginate",
    "output",
    "query",
    "color",
    "cli-binary-format",
    "no-cli-pager",
    "no-cli-auto-prompt",
)
_METAVARS: Final = {
    "endpoint-url": "URL",
    "ca-bundle": "FILE",
    "cli-read-timeout": "SECONDS",
    "cli-connect-timeout": "SECONDS",
}


@dataclass(frozen=True, slots=True)
class CommonValues:
    """What was given of `COMMON_OPTIONS`; None where the environment or the profile decides."""

    debug: bool
    endpoint_url: str | None
    verify_ssl: bool
    paginate: bool
    output: str | None
    query: str | None
    profile: str | None
    region: str | None
    color: str
    sign_request: bool
    ca_bundle: str | None
    read_timeout: int
    connect_timeout: int
    binary_format: str | None
    pager: bool


_CHOICE: Final = re.compile(r"argument \S+: invalid choice: '(.*)' \(choose from (.*)\)")
_WORD: Final = re.compile(r"[\w-]+")


class CommandParser(argparse.ArgumentParser):
    """Raises `CommandError`, in two lines, where argparse would end the process in many."""

    @override
    def error(self, message: str) -> NoReturn:
        _, is_unknown, words = message.partition("unrecognized arguments: ")
        choice = _CHOICE.fullmatch(message)
        if is_unknown:
            word = words.partition(" ")[0].partition("=")[0]
            message += nearest(word, self._option_string_actions)
        elif choice is not None:
            word, choices = choice[1], _WORD.findall(choice[2])
            message = f"'{word}' is none of {', '.join(choices)}{nearest(word, choices)}"
        raise CommandError(f"ecrate: {message}", BAD_COMMAND, advice=self.advice())

    def advice(self) -> str:
        """Give the line behind the complaint."""
        return f"`{self.prog} --help` tells what there is."


class Parser(CommandParser):
    """A command's parser, whose usage is one line."""

    def __init__(
        self, usage: str = "", *, add_help: bool = False, description: str = "", example: str = ""
    ) -> None:
        super().__init__(
            usage=usage,
            add_help=add_help,
            allow_abbrev=True,
            description=description or None,
            epilog=f"example: {example}" if example else None,
        )
        self._line = usage

    def option_names(self) -> list[str]:
        """Give the names of all options, those common to all calls included."""
        common = [f"--{option.name}" for option in COMMON_OPTIONS]
        return [*dict.fromkeys([*self._option_string_actions, *common])]

    @override
    def advice(self) -> str:
        return f"usage: {self._line}" if self._line else ""


def split_common_options(words: list[str], usage: str) -> tuple[CommonValues, list[str]]:
    """Give the common options and all other words, in their order."""
    parser = Parser(usage)
    add_common_options(parser)
    given, rest = parser.parse_known_args(words)
    return common_values(given), rest


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Let `parser` understand the common options."""
    for option in COMMON_OPTIONS:
        parser.add_argument(f"--{option.name}", help=option.help, **option.settings)


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Let `parser` understand those about the connection, and no others: they would do nothing."""
    for option in COMMON_OPTIONS:
        if option.name in _ABOUT_ANSWERS:
            continue
        settings = dict(option.settings)
        if "action" not in settings:
            settings["metavar"] = _METAVARS.get(option.name, "NAME")
        parser.add_argument(f"--{option.name}", help=option.help, **settings)
    parser.set_defaults(
        paginate=True, output=None, query=None, color="auto", binary_format=None, pager=False
    )


def common_values(given: argparse.Namespace) -> CommonValues:
    """Give the common options out of what `parser` found; checks what argparse cannot."""
    values = CommonValues(**{name: getattr(given, name) for name in CommonValues.__slots__})
    url = values.endpoint_url
    if url is not None and not url.startswith(("http://", "https://")):
        raise CommandError(
            f"Bad value for --endpoint-url: '{url}' does not begin with http:// or https://",
            BAD_COMMAND,
        )
    return values
