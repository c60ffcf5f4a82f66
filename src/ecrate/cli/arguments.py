"""The options of one operation, generated from its input shape, and their values.

A value on the command line is a text (or several); here it becomes what the shape asks for.
Not here: whether the values are acceptable (`validation`), and the shorthand syntax's grammar.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from ecrate.aws.model import Operation, Shape, kebab
from ecrate.cli.failures import BAD_COMMAND, CommandError, nearest
from ecrate.cli.options import Parser
from ecrate.cli.shorthand import ShorthandError, coerce, parse_shorthand

_COMPLEX: Final = ("structure", "list", "map")
PAGING_OPTIONS: Final = ("starting_token", "page_size", "max_items")
INPUT_OPTIONS: Final = ("cli-input-json", "cli-input-yaml")
SKELETONS: Final = ("input", "output", "yaml-input")


@dataclass(frozen=True, slots=True)
class Argument:
    """One member of an operation's input as an option."""

    name: str
    member: str
    shape: Shape
    required: bool
    documentation: str

    @property
    def option(self) -> str:
        return f"--{self.name}"

    @property
    def destination(self) -> str:
        return self.name.replace("-", "_")

    @property
    def has_shorthand(self) -> bool:
        shape = self.shape
        if shape.type == "list" and shape.element is not None:
            return shape.element.type in _COMPLEX
        return shape.type in _COMPLEX


def arguments_of(operation: Operation) -> list[Argument]:
    """Give the options of an operation in the model's order."""
    shape = operation.input
    return [
        Argument(
            name=kebab(member),
            member=member,
            shape=inner,
            required=member in shape.required,
            documentation=shape.member_documentation[member] or inner.documentation,
        )
        for member, inner in shape.members.items()
    ]


def parse_arguments(operation: Operation, words: list[str], *, paged: bool) -> argparse.Namespace:
    """Read the words behind the operation's name.

    Required members may be missing where JSON input may bring them, or only an input skeleton
    is asked for.
    """
    parser = Parser()
    for argument in arguments_of(operation):
        _add(parser, argument, required=argument.required and not _is_relaxed(words))
    for name in INPUT_OPTIONS:
        parser.add_argument(f"--{name}")
    parser.add_argument("--generate-cli-skeleton", nargs="?", const="input", choices=SKELETONS)
    if paged:
        parser.add_argument("--starting-token")
        parser.add_argument("--page-size", type=int)
        parser.add_argument("--max-items", type=int)
    found, unknown = parser.parse_known_args(words)
    if unknown:
        refuse_unknown(unknown, parser.option_names())
    return found


def refuse_unknown(words: list[str], known: list[str]) -> NoReturn:
    """Raise `CommandError` that names the words, and the known option most like the first."""
    close = nearest(words[0].partition("=")[0], known)
    raise CommandError(f"ecrate: Unknown options: {', '.join(words)}{close}", BAD_COMMAND)


def _is_relaxed(words: list[str]) -> bool:
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        if name.removeprefix("--") in INPUT_OPTIONS:
            return True
        if name == "--generate-cli-skeleton":
            return "output" not in (value, *words[index + 1 : index + 2])
    return False


def _add(parser: argparse.ArgumentParser, argument: Argument, *, required: bool) -> None:
    if argument.shape.type == "boolean":
        # Neither is given: the member is left out, and the service's default holds.
        destination = argument.destination
        parser.add_argument(argument.option, action="store_true", default=None, dest=destination)
        parser.add_argument(
            f"--no-{argument.name}", action="store_false", default=None, dest=destination
        )
    elif argument.shape.type == "list":
        parser.add_argument(argument.option, nargs="*", required=required)
    else:
        parser.add_argument(argument.option, required=required)


def call_parameters(
    operation: Operation, found: argparse.Namespace, binary_format: str
) -> dict[str, Any]:
    """Give the call's input: that of a `--cli-input-...`, under that of the options."""
    parameters = _input(found)
    for argument in arguments_of(operation):
        value = getattr(found, argument.destination)
        if value is not None:
            parameters[argument.member] = _convert(argument, value)
        if argument.shape.type == "blob" and isinstance(parameters.get(argument.member), str):
            text = parameters[argument.member]
            parameters[argument.member] = _decode(text, binary_format, argument.option)
    return parameters


def _input(found: argparse.Namespace) -> dict[str, Any]:
    given = [(name, getattr(found, name.replace("-", "_"))) for name in INPUT_OPTIONS]
    texts = [(f"--{name}", text) for name, text in given if text is not None]
    if not texts:
        return {}
    if len(texts) > 1:
        names = " and ".join(name for name, _ in texts)
        raise CommandError(f"ecrate: {names} exclude each other; give one of them", BAD_COMMAND)
    option, text = texts[0]
    loaded = load_file(text, option)
    if option == "--cli-input-yaml":
        from ecrate.cli.yaml_text import YamlError, parse_yaml

        try:
            value = parse_yaml(loaded)
        except YamlError as error:
            raise _bad(option, f"Invalid YAML: {error}") from None
    else:
        value = _parse_json(loaded, option)
    if not isinstance(value, dict):
        raise _bad(option, "it has to hold members and their values")
    return value


def _decode(text: str, binary_format: str, option: str) -> bytes:
    """Give the bytes that a text stands for."""
    if binary_format == "raw-in-base64-out":
        return text.encode()
    import base64
    import binascii

    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        raise _bad(option, "it is not base64; use fileb:// for a file of bytes") from None


def load_file(text: str, option: str) -> str | bytes:
    """Give what `text` stands for: `file://` the text, `fileb://` the bytes of a file."""
    for prefix in ("file://", "fileb://"):
        if text.startswith(prefix):
            path = Path(os.path.expandvars(text.removeprefix(prefix))).expanduser()
            try:
                return path.read_bytes() if prefix == "fileb://" else path.read_text()
            except UnicodeDecodeError:
                raise _bad(option, f"{path} is not text; use fileb:// for bytes") from None
            except OSError as error:
                raise _bad(option, f"cannot read {path}: {error.strerror}") from None
    return text


def _convert(argument: Argument, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and len(value) == 1:
        loaded = load_file(value[0], argument.option)
        value = [loaded.decode() if isinstance(loaded, bytes) else loaded]
    elif isinstance(value, str):
        value = load_file(value, argument.option)
    if argument.shape.type not in _COMPLEX:
        return _scalar(argument, argument.shape, value)
    words = value if isinstance(value, list) else [_text(value)]
    if words and words[0].lstrip().startswith(("[", "{")):
        return _from_json(argument, words)
    if argument.has_shorthand:
        return _from_shorthand(argument, words)
    element = argument.shape.element or argument.shape
    return [_scalar(argument, element, word) for word in words]


def _from_json(argument: Argument, words: list[str]) -> Any:
    if argument.shape.type != "list":
        return _parse_json(words[0], argument.option)
    if len(words) == 1 and words[0].lstrip().startswith("["):
        return _parse_json(words[0], argument.option)
    return [_parse_json(word, argument.option) for word in words]


def _from_shorthand(argument: Argument, words: list[str]) -> Any:
    def read(text: str) -> str | bytes:
        return load_file(text, argument.option)

    try:
        parsed = [parse_shorthand(word, read) for word in words]
        if argument.shape.type == "list":
            return coerce(argument.shape, parsed)
        return coerce(argument.shape, parsed[0])
    except ShorthandError as error:
        raise _bad(argument.option, str(error), error.picture) from None


def _scalar(argument: Argument, shape: Shape, value: str | bytes) -> Any:
    if shape.type == "blob":
        return value
    text = _text(value)
    try:
        if shape.type in ("integer", "long"):
            return int(text)
        if shape.type in ("float", "double"):
            return float(text)
    except ValueError:
        raise _bad(argument.option, f"'{text}' is not a number") from None
    return text


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def _parse_json(text: str | bytes, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _bad(option, f"Invalid JSON: {error}", f"JSON received: {_text(text)}") from None


def _bad(option: str, problem: str, details: str = "") -> CommandError:
    return CommandError(
        f"Error parsing parameter '{option}': {problem}", BAD_COMMAND, details=details
    )
