"""Condition blocks of IAM policies: operators, set qualifiers, IfExists, Null.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators". A request's keys are
lower case here, each with all its values as texts; a key that is not there has none.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

Keys = Mapping[str, tuple[str, ...]]


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
    values: tuple[str, ...]

    def holds(self, keys: Keys, expand: Callable[[str], str]) -> bool:
        """Tell whether the request fulfils it; `expand` puts in policy variables."""
        found = keys.get(self.key, ())
        if self.operator == "null":
            return (not found) == (self.values[0].lower() == "true")
        compare = _OPERATORS[self.operator]
        wanted = [expand(value) for value in self.values]

        def fits(value: str) -> bool:
            return any(compare(value, one) for one in wanted) != self.is_negated

        if self.qualifier == "forallvalues":
            return all(map(fits, found))
        if not found:
            # A key that is missing equals nothing, so what is negated holds.
            return self.if_exists or (self.is_negated and self.qualifier != "foranyvalue")
        if self.is_negated and not self.qualifier:
            return all(map(fits, found))
        return any(map(fits, found))


_NAME: Final = re.compile(r"(?:(forallvalues|foranyvalue):)?([a-z]+?)(ifexists)?")


def parse_conditions(block: object) -> tuple[Condition, ...]:
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
                    plain, plain != operator, bool(if_exists), qualifier or "", key.lower(), values
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


def like(value: str, pattern: str) -> bool:
    """Match with IAM's `*` (any run of characters) and `?` (any one), case by case.

    Goes back to the last `*` only, so that no pattern costs more than its length times the
    value's; a regular expression with many `.*` can take for ever.
    """
    at, place, star, mark = 0, 0, -1, 0
    while at < len(value):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", value[at]):
            at += 1
            place += 1
        elif star >= 0:
            mark += 1
            at, place = mark, star + 1
        else:
            return False
    return not pattern[place:].strip("*")


def _arn_like(value: str, pattern: str) -> bool:
    # Each of an ARN's six parts is matched by itself, so that no `*` reaches over a colon.
    mine, theirs = value.split(":", 5), pattern.split(":", 5)
    return len(mine) == len(theirs) and all(map(like, mine, theirs))


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
_OPERATORS: Final[dict[str, Callable[[str, str], bool]]] = {
    "stringequals": lambda value, wanted: value == wanted,
    "stringequalsignorecase": lambda value, wanted: value.lower() == wanted.lower(),
    "stringlike": like,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
    "bool": lambda value, wanted: value.lower() == wanted.lower(),
    "binaryequals": lambda value, wanted: value == wanted,
    "ipaddress": _in_network,
    **{f"numeric{name}": _comparing(_number, name) for name in _RELATIONS},
    **{f"date{name}": _comparing(_date, name) for name in _RELATIONS},
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
