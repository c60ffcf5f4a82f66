"""Requests checked against the service model: types, required members, limits, patterns, enums.

A check is compiled once a shape into a small function, so that a call costs microseconds.
Texts: dossier section 1.5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ecrate.aws.errors import FrontDoorError
from ecrate.aws.model import Shape
from ecrate.domain.errors import InvalidParameter

Check = Callable[[Any, str], Any]

# AWS: as recorded by other implementations' tests; the quote is not closed.
_PATTERN_TEXTS: Final = {
    "RepositoryName": "must satisfy regular expression "
    "'(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*",
}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "timestamp": (int, float),
    "boolean": (bool,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}
_JSON_NAMES: Final = {
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "DECIMAL_VALUE",
    list: "Start of list",
    dict: "Start of structure or map",
}


class Validator:
    """Checks for the shapes of one model, compiled when first asked for."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def check(self, shape: Shape, value: Any, path: str = "") -> Any:
        """Give `value` without nulls and unknown members.

        Raises `InvalidParameter` naming the member, or `SerializationException` where the JSON
        type is another.
        """
        check = self._checks.get(shape.name)
        if check is None:
            check = self._checks[shape.name] = self._compile(shape)
        return check(value, path)

    def _compile(self, shape: Shape) -> Check:
        if shape.type == "blob":
            return _check_blob
        types = _TYPES[shape.type]
        inner = {
            "structure": self._structure,
            "list": self._list,
            "map": self._map,
            "string": self._string,
        }.get(shape.type, self._number)(shape)

        def check(value: Any, path: str) -> Any:
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise _wrong_type(value, shape.type)
            return inner(value, path)

        return check

    def _structure(self, shape: Shape) -> Check:
        required, members = frozenset(shape.required), shape.members

        def check(value: Any, path: str) -> Any:
            prefix = f"{path}." if path else ""
            found = {
                name: self.check(members[name], item, prefix + name)
                for name, item in value.items()
                if item is not None and name in members
            }
            if not required <= found.keys():
                name = next(name for name in shape.required if name not in found)
                raise InvalidParameter(prefix + name, "Member must not be null")
            return found

        return check

    def _list(self, shape: Shape) -> Check:
        element = shape.element or Shape("Nothing", "structure")

        def check(value: Any, path: str) -> Any:
            _check_length(shape, len(value), path)
            return [
                self.check(element, item, f"{path}.{i}.member") for i, item in enumerate(value, 1)
            ]

        return check

    def _map(self, shape: Shape) -> Check:
        inner = shape.value or Shape("Nothing", "structure")

        def check(value: Any, path: str) -> Any:
            return {key: self.check(inner, item, f"{path}.{key}") for key, item in value.items()}

        return check

    def _string(self, shape: Shape) -> Check:
        # AWS' patterns are Java's, whose `\w` and `\d` are ASCII.
        pattern = None if shape.pattern is None else re.compile(shape.pattern, re.ASCII)
        text = _PATTERN_TEXTS.get(
            shape.name, f"Member must satisfy regular expression pattern: {shape.pattern}"
        )

        def check(value: Any, path: str) -> Any:
            _check_length(shape, len(value), path)
            if pattern is not None and pattern.fullmatch(value) is None:
                raise InvalidParameter(path, text)
            if shape.enum and value not in shape.enum:
                allowed = ", ".join(shape.enum)
                raise InvalidParameter(path, f"Member must satisfy enum value set: [{allowed}]")
            return value

        return check

    def _number(self, shape: Shape) -> Check:
        def check(value: Any, path: str) -> Any:
            if shape.minimum is not None and value < shape.minimum:
                raise InvalidParameter(
                    path, f"Member must have value greater than or equal to {shape.minimum}"
                )
            if shape.maximum is not None and value > shape.maximum:
                raise InvalidParameter(
                    path, f"Member must have value less than or equal to {shape.maximum}"
                )
            return value

        return check


def _check_blob(value: msgspec.Raw, path: str) -> msgspec.Raw:
    """Tell a string from the rest; the base64 in it is looked at where it is decoded."""
    if bytes(memoryview(value)[:1]) != b'"':
        raise FrontDoorError("SerializationException", f"{path} must be a base64 string")
    return value


def _check_length(shape: Shape, length: int, path: str) -> None:
    if shape.minimum is not None and length < shape.minimum:
        raise InvalidParameter(
            path, f"Member must have length greater than or equal to {shape.minimum}"
        )
    if shape.maximum is not None and length > shape.maximum:
        raise InvalidParameter(
            path, f"Member must have length less than or equal to {shape.maximum}"
        )


def _wrong_type(value: Any, expected: str) -> FrontDoorError:
    if value is None or isinstance(value, bool):
        found = f"{json.dumps(value).upper()}_VALUE"
    else:
        found = _JSON_NAMES[type(value)]
    if isinstance(value, (list, dict)):
        return FrontDoorError("SerializationException", f"{found} found where not expected")
    return FrontDoorError(
        "SerializationException", f"{found} can not be converted to {expected.capitalize()}"
    )
