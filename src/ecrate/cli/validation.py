"""What a client refuses to send: missing members, unknown ones, wrong types, too short values.

As the AWS SDKs do; limits from above, patterns and enums are the service's to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ecrate.aws.model import Shape
from ecrate.cli.failures import BAD_COMMAND, CommandError

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (str, int, float),
    "blob": (bytes, str),
}
_JSON_TYPES: Final[dict[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    bytes: "bytes",
    type(None): "null",
}


def validate(shape: Shape, parameters: dict[str, Any]) -> None:
    """Raise `CommandError` that names what is wrong, the first of it in its message."""
    problems = list(_problems(shape, parameters, ""))
    if problems:
        first, *others = problems
        more = f" (and {len(others)} more, see --debug)" if others else ""
        raise CommandError(
            f"Parameter validation failed: {first}{more}", BAD_COMMAND, details="\n".join(others)
        )


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    types = _TYPES[shape.type]
    is_wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
    if is_wrong:
        found = _JSON_TYPES.get(type(value), type(value).__name__)
        yield f"{path or 'The input'} has to be {_JSON_TYPES[types[0]]} and is {found}: {value!r}"
    elif shape.type == "structure":
        yield from _structure_problems(shape, value, path)
    elif shape.type == "list" and shape.element is not None:
        yield from _length_problems(shape, value, path)
        for index, item in enumerate(value):
            yield from _problems(shape.element, item, f"{path}[{index}]")
    elif shape.type == "map" and shape.value is not None:
        for key, item in value.items():
            yield from _problems(shape.value, item, f"{path}.{key}")
    elif shape.type == "string":
        yield from _length_problems(shape, value, path)
    elif shape.minimum is not None and shape.type != "blob" and value < shape.minimum:
        yield f"{path} has to be at least {shape.minimum} and is {value}"


def _structure_problems(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    where = path or "the input"
    for name in shape.required:
        if name not in value:
            yield f"'{name}' is missing in {where}"
    for name, item in value.items():
        if name in shape.members:
            yield from _problems(shape.members[name], item, f"{path}.{name}" if path else name)
        else:
            yield f"'{name}' is unknown in {where}; known are {', '.join(shape.members)}"


def _length_problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.minimum is not None and len(value) < shape.minimum:
        yield f"{path} has length {len(value)} and needs at least {shape.minimum}: {value!r}"
