"""Values made from the service model: answers of each operation, and command lines that ask.

Texts are what is hard to print: quotes, line breaks, wide characters, what YAML takes for something
else. The second element of a list has a member less than the first.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator
from typing import Any, Final

from ecrate.aws.model import Operation, Shape
from ecrate.cli.arguments import Argument, arguments_of
from ecrate.cli.paging import paging_of

_TEXTS: Final = (
    "plain", "größe", "yes", "1.0", "two\nlines", "a: b", "it's \"quoted\"", "tab\there", "~",
    '{"json": [1]}', "", "long " * 30, "#x", "日本語", "😀", "- x", "012", "2020-01-01",
    "sha256:ab", " blanks ", "'", "on", "null", "0x1f", "back\\slash", "@x", "%", "1e3", "last\n",
)  # fmt: skip
_DEEPEST: Final = 7


def sample_answer(operation: Operation) -> dict[str, Any]:
    """Give what a service might answer, the same each time; a page's token is left out."""
    made: dict[str, Any] = _Sampler().value(operation.output, 0)
    paging = paging_of(operation.name)
    if paging is not None:
        made.pop(paging.output_token, None)
    return made


class _Sampler:
    def __init__(self) -> None:
        self._texts = itertools.cycle(_TEXTS)
        self._numbers = itertools.count(1)

    def value(self, shape: Shape, depth: int) -> Any:
        if depth > _DEEPEST and shape.type in ("structure", "list"):
            return {} if shape.type == "structure" else []
        match shape.type:
            case "structure":
                return {n: self.value(inner, depth + 1) for n, inner in shape.members.items()}
            case "list":
                return list(self._elements(shape, depth))
            case "map":
                assert shape.value is not None
                return {key: self.value(shape.value, depth + 1) for key in ("größe", "b")}
            case "timestamp":
                return 1700000000.123 + next(self._numbers)
            case "boolean":
                return next(self._numbers) % 2 == 0
            case "double" | "float":
                return next(self._numbers) / 8
            case "integer" | "long":
                return next(self._numbers)
            case _:
                return next(iter(shape.enum), None) or next(self._texts)

    def _elements(self, shape: Shape, depth: int) -> Iterator[Any]:
        assert shape.element is not None
        yield self.value(shape.element, depth + 1)
        second = self.value(shape.element, depth + 1)
        if isinstance(second, dict) and len(second) > 1:
            second.popitem()
        yield second


def options_of(operation: Operation, kind: str) -> list[str]:
    """Give words for all of an operation's parameters: as `shorthand` or `json`.

    Of kind `required` are those that have to be there, of kind `input` is one option for all.
    """
    paging = paging_of(operation.name)
    arguments = [
        each
        for each in arguments_of(operation)
        if paging is None or each.member not in paging.members
    ]
    if kind == "input":
        values = {each.member: _plain(each.shape, each.name) for each in arguments}
        return ["--cli-input-json", json.dumps(values)]
    words: list[str] = []
    for each in arguments:
        if each.required or kind != "required":
            words += _words(each, kind)
    return words


def line_of(operation: Operation, kind: str) -> str:
    """Give the words as a line for a shell."""
    return shlex.join([operation.cli_name, *options_of(operation, kind)])


def _words(argument: Argument, kind: str) -> list[str]:
    shape = argument.shape
    value = _plain(shape, argument.name)
    if shape.type == "boolean":
        return [argument.option]
    if kind == "json" and (shape.members or shape.element or shape.value):
        return [argument.option, json.dumps(value)]
    if argument.has_shorthand:
        values = value if shape.type == "list" else [value]
        return [argument.option, *(_shorthand(each)[1:-1] for each in values)]
    values = value if isinstance(value, list) else [value]
    return [argument.option, *map(str, values)]


def _plain(shape: Shape, name: str) -> Any:
    match shape.type:
        case "structure":
            return {member: _plain(inner, member) for member, inner in shape.members.items()}
        case "list":
            assert shape.element is not None
            return [_plain(shape.element, f"{name}-{n}") for n in range(max(2, shape.minimum or 0))]
        case "map":
            assert shape.value is not None
            return {key: _plain(shape.value, key) for key in ("k1", "k2")}
        case "boolean":
            return True
        case "integer" | "long":
            return max(shape.minimum or 0, 3)
        case "double" | "float":
            return 0.5
        case "blob":
            return "Ymxvyg=="  # as bytes, and as base64
        case _:
            return next(iter(shape.enum), f"some {name}".ljust(shape.minimum or 0, "x"))


def _shorthand(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}={_shorthand(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_shorthand, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
