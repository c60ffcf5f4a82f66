"""`python -m tools.man DIR`: write a man page for each command, from what `help` shows.

Pages go to DIR/man1. `man` finds them by itself in share/man beside the bin/ of the PATH.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

from ecrate import __version__
from ecrate.aws.model import service_model
from ecrate.cli import COMMANDS
from ecrate.cli.help import (
    write_login,
    write_operation,
    write_service,
    write_wait,
    write_waiter,
)
from ecrate.cli.page import ManPage, Page
from ecrate.cli.wait import waiters
from ecrate.cli.words import parser_of

Write = Callable[[Page], None]


def main(words: list[str]) -> int:
    """Write the pages and say how many they are."""
    if len(words) != 1:
        print("usage: python -m tools.man DIR", file=sys.stderr)
        return 2
    folder = Path(words[0], "man1")
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for command, write in pages():
        page = ManPage(command, __version__)
        write(page)
        path = folder / f"{command.replace(' ', '-')}.1"
        path.write_text(page.text(), encoding="utf-8")
        count += 1
    print(f"{count} man pages are in {folder}")
    return 0


def pages() -> Iterator[tuple[str, Write]]:
    """Give each command and what writes its page."""
    yield "ecrate", _write_main
    for name in COMMANDS:
        parser = parser_of(name)
        if parser is not None:
            yield f"ecrate {name}", partial(_write_command, name=name, parser=parser)
    yield "ecrate ecr", write_service
    for each in service_model().operations.values():
        yield f"ecrate ecr {each.cli_name}", partial(write_operation, operation=each)
    yield "ecrate ecr get-login-password", write_login
    yield "ecrate ecr wait", write_wait
    for name in waiters():
        yield f"ecrate ecr wait {name}", partial(write_waiter, name=name)


def _write_main(page: Page) -> None:
    page.title("ecrate", "<p>Amazon ECR on your own machine.</p>")
    page.section("SYNOPSIS")
    page.line("ecrate COMMAND ...")
    page.blank()
    page.section("COMMANDS")
    for name in COMMANDS:
        page.line(f"ecrate-{name}(1)")
        page.paragraph(import_module(f"ecrate.cli.{name}").SUMMARY, 1)


def _write_command(page: Page, name: str, parser: argparse.ArgumentParser) -> None:
    page.title(name, import_module(f"ecrate.cli.{name}").SUMMARY)
    page.section("SYNOPSIS")
    page.paragraph(" ".join(parser.format_usage().removeprefix("usage: ").split()), 0)
    page.section("DESCRIPTION")
    page.paragraph(parser.description or "", 0)
    page.section("OPTIONS")
    for action in parser._actions:  # noqa: SLF001 - argparse tells of its options nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - nor of its commands
            for each in action._choices_actions:  # noqa: SLF001 - nor of what they are for
                page.line(each.dest)
                page.paragraph(each.help or "", 1)
        else:
            value = action.metavar or action.dest.upper()
            names = ", ".join(action.option_strings) or str(value)
            takes = f" {value}" if action.option_strings and action.nargs != 0 else ""
            page.line(f"{names}{takes}")
            page.paragraph(action.help or "", 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
