"""Condition blocks of IAM policies: operators, set qualifiers, IfExists, Null.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators".
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ecrate.domain.patterns import Keys, Pattern, Text, arn_like, like


class InvalidConditionError(Exception):
    """The block names an operator there is not, or a value that is none."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a block: the request's `key` compared with `values`, any of which will do."""

    operator: str
    is_negated: bool
    if_exists: bool
    qualifier: str
    key: str
    values: tuple[Text, ...]

    def holds(self, keys: Keys) -> bool:
        """Tell whether the request with these keys fulfils it."""
        found = keys.get(self.key, ())
        if self.operator == "null":
            return (not found) == (self.values[0].plain(keys).lower() == "true")
        compare = _OPERATORS[self.operator]

        def fits(value: str) -> bool:
            return any(compare(value, one, keys) for one in self.values) != self.is_negated

        if self.qualifier == "forallvalues":
            return all(map(fits, found))
        if not found:
            # A key that is missing equals nothing, so what is negated holds.
            return self.if_exists or (self.is_negated and self.qualifier != "foranyvalue")
        if self.is_negated and not self.qualifier:
            return all(map(fits, found))
        return any(map(fits, found))


_NAME: Final = re.compile(r"(?:(forallvalues|foranyvalue):)?([a-z]+?)(ifexists)?")


def parse_conditions(block: object, *, has_variables: bool) -> tuple[Condition, ...]:
    """Read a Condition block; raises `InvalidConditionError`."""
    if not isinstance(block, dict):
        raise InvalidConditionError("Condition must be an object")
    parsed = []
    for name, tests in block.items():
        match = _NAME.fullmatch(name.lower())
        if match is None or not isinstance(tests, dict):
            raise InvalidConditionError(f"unknown condition operator {name}")
        qualifier, operator, if_exists = match.groups()
        plain = _PLAIN.get(operator, operator)
        if plain not in _OPERATORS and plain != "null":
            raise InvalidConditionError(f"unknown condition operator {name}")
        for key, given in tests.items():
            values = tuple(
                _text(value) for value in (given if isinstance(given, list) else [given])
            )
            _check_values(plain, values)
            parsed.append(
                Condition(
                    operator=plain,
                    is_negated=plain != operator,
                    if_exists=bool(if_exists),
                    qualifier=qualifier or "",
                    key=key.lower(),
                    values=tuple(Text(value, has_variables=has_variables) for value in values),
                )
            )
    return tuple(parsed)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise InvalidConditionError("a condition's values must be texts, numbers or booleans")
    return str(value)


def _check_values(operator: str, values: Sequence[str]) -> None:
    if not values:
        raise InvalidConditionError("a condition needs a value")
    check: Callable[[str], object] | None = _READERS.get(operator)
    for value in values:
        if check is not None and "${" not in value:
            try:
                check(value)
            except ValueError:
                raise InvalidConditionError(f"'{value}' does not fit {operator}") from None


def _date(text: str) -> datetime:
    if re.fullmatch(r"[0-9]{1,11}(\.[0-9]+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(text: str) -> float:
    number = float(text)
    if math.isnan(number):
        # It would be neither less nor greater than any other, and so pass for its equal.
        raise ValueError(text)
    return number


def _truth(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _in_network(value: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(value) in _network(network)
    except ValueError:
        return False


def _comparing(
    read: Callable[[str], float] | Callable[[str], datetime], relation: str
) -> Callable[[str, str], bool]:
    def compare(value: str, wanted: str) -> bool:
        try:
            left, right = read(value), read(wanted)
        except ValueError:
            return False
        order = (left > right) - (left < right)  # type: ignore[operator] # both of one kind
        return order in _RELATIONS[relation]

    return compare


_RELATIONS: Final = {
    "equals": (0,),
    "lessthan": (-1,),
    "lessthanequals": (-1, 0),
    "greaterthan": (1,),
    "greaterthanequals": (0, 1),
}
_TEXTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "stringequals": lambda value, wanted: value == wanted,
    "stringequalsignorecase": lambda value, wanted: value.lower() == wanted.lower(),
    "bool": lambda value, wanted: value.lower() == wanted.lower(),
    "binaryequals": lambda value, wanted: value == wanted,
    "ipaddress": _in_network,
    **{f"numeric{name}": _comparing(_number, name) for name in _RELATIONS},
    **{f"date{name}": _comparing(_date, name) for name in _RELATIONS},
}
_PATTERNS: Final[dict[str, Callable[[str, Pattern], bool]]] = {
    "stringlike": like,
    "arnequals": arn_like,
    "arnlike": arn_like,
}


def _on_text(compare: Callable[[str, str], bool]) -> Callable[[str, Text, Keys], bool]:
    return lambda value, wanted, keys: compare(value, wanted.plain(keys))


def _on_pattern(compare: Callable[[str, Pattern], bool]) -> Callable[[str, Text, Keys], bool]:
    return lambda value, wanted, keys: compare(value, wanted.pattern(keys))


_OPERATORS: Final[dict[str, Callable[[str, Text, Keys], bool]]] = {
    **{name: _on_text(compare) for name, compare in _TEXTS.items()},
    **{name: _on_pattern(compare) for name, compare in _PATTERNS.items()},
}
# A negated operator, and the one it is the opposite of.
_PLAIN: Final = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "notipaddress": "ipaddress",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
}
_READERS: Final[dict[str, Callable[[str], object]]] = {
    "ipaddress": _network,
    "null": _truth,
    "bool": _truth,
    **{f"numeric{name}": _number for name in _RELATIONS},
    **{f"date{name}": _date for name in _RELATIONS},
}
