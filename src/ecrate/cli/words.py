"""What may stand on the command line: each command's words and options, for completion.

Operations come from the service model, everything else from the commands' parsers. A command's
path is its words with a blank between, such as `ecrate ecr list-images`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module

from ecrate.aws.model import Operation, Shape, service_model
from ecrate.cli.arguments import INPUT_OPTIONS, PAGING_OPTIONS, SKELETONS, arguments_of
from ecrate.cli.options import COMMON_OPTIONS
from ecrate.cli.paging import paging_of
from ecrate.cli.wait import waiters


@dataclass(slots=True)
class Level:
    """What may follow a command: subcommands, and options with the values they take, if few."""

    words: list[str] = field(default_factory=list)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)


def levels(commands: tuple[str, ...]) -> dict[str, Level]:
    """Give what may follow each path."""
    found = {"ecrate": Level(words=[*commands, "help"], options={"--version": ()})}
    for name in commands:
        if name == "ecr":
            found.update(_service())
            continue
        parser = parser_of(name)
        if parser is not None:
            found.update(_of_parser(f"ecrate {name}", parser))
    return found


def parser_of(name: str) -> argparse.ArgumentParser | None:
    """Give the parser of a command's words; None where it has no single one, as `ecr`."""
    module = vars(import_module(f"ecrate.cli.{name}"))
    # How a command reads its words is its own business; only here somebody else looks.
    make = module.get("parser") or module.get("_parser")
    return make() if make is not None else None


def common_options() -> dict[str, tuple[str, ...]]:
    """Give the options that all calls take."""
    return {f"--{each.name}": each.settings.get("choices", ()) for each in COMMON_OPTIONS}


def _service() -> Iterator[tuple[str, Level]]:
    operations = {each.cli_name: each for each in service_model().operations.values()}
    names = sorted([*operations, "get-login-password", "wait", "help"])
    yield "ecrate ecr", Level(words=names, options=common_options())
    for name, operation in operations.items():
        is_paged = paging_of(operation.name) is not None
        yield f"ecrate ecr {name}", _of_operation(operation, is_paged=is_paged)
    yield "ecrate ecr get-login-password", Level(words=["help"], options=common_options())
    known = waiters()
    yield "ecrate ecr wait", Level(words=[*known, "help"], options=common_options())
    for name, waiter in known.items():
        operation = service_model().operations[waiter["operation"]]
        yield f"ecrate ecr wait {name}", _of_operation(operation, is_paged=False)


def _of_operation(operation: Operation, *, is_paged: bool) -> Level:
    options: dict[str, tuple[str, ...]] = {}
    paging = paging_of(operation.name) if is_paged else None
    for argument in arguments_of(operation):
        if paging is None or argument.member not in paging.members:
            options[argument.option] = _values(argument.shape)
        if argument.shape.type == "boolean":
            options[f"--no-{argument.name}"] = ()
    options |= {f"--{name}": () for name in INPUT_OPTIONS}
    if is_paged:
        options |= {f"--{name.replace('_', '-')}": () for name in PAGING_OPTIONS}
    options["--generate-cli-skeleton"] = SKELETONS
    return Level(words=["help"], options=options | common_options())


def _values(shape: Shape) -> tuple[str, ...]:
    """Give the values of an enumeration, or those of a structure's member in shorthand."""
    if shape.type == "structure":
        return tuple(
            f"{name}={value}"
            for name, inner in shape.members.items()
            for value in (inner.enum or (("true", "false") if inner.type == "boolean" else ()))
        )
    return shape.enum


def _of_parser(path: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, Level]]:
    level = Level()
    for action in parser._actions:  # noqa: SLF001 - argparse tells of its options nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - nor of its commands
            level.words += action.choices
            for name, inner in action.choices.items():
                yield from _of_parser(f"{path} {name}", inner)
        elif not action.option_strings:
            level.words += action.choices or ()
        for option in action.option_strings:
            level.options[option] = tuple(map(str, action.choices or ()))
    yield path, level
