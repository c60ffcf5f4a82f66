"""The shorthand syntax for structures: `Key=a,List=b,c,Inner={x=1},Other=[p,q]`.

Written from the grammar in the AWS CLI user guide, "Using shorthand syntax". Parsing knows no
shapes and gives texts, lists and dictionaries; `coerce` then makes of them what a shape asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ecrate.aws.model import Shape

_KEY: Final = re.compile(r"[A-Za-z0-9\-_.#/:]*")
_QUOTED: Final = re.compile(r"'((?:\\'|[^'])*)'|\"((?:\\\"|[^\"])*)\"")
# A bare value ends at a comma that is not escaped. The first value after a key may hold "=",
# those that continue a list may not: there "=" shows that the word is the next key.
_FIRST: Final = re.compile(r"(?:\\,|[^\s\"',=\[{])(?:\\,|[^\"',\]}])*")
_CONTINUED: Final = re.compile(r"(?:\\,|[^\s\"',=\[{])(?:\\,|[^\"',=])*")
_SPACE: Final = re.compile(r"\s*")

Reader = Callable[[str], "str | bytes"]


class ShorthandError(Exception):
    """What is wrong; `picture` is the input with a mark below the place."""

    def __init__(self, problem: str, picture: str) -> None:
        super().__init__(problem)
        self.picture = picture


def parse_shorthand(text: str, read: Reader) -> dict[str, Any]:
    """Parse one value; `read` gives the file that a value after `@=` names."""
    return _Scanner(text, read).parameter()


class _Scanner:
    """A position in the text; each method reads one rule of the grammar and moves it on."""

    def __init__(self, text: str, read: Reader) -> None:
        self._text = text
        self._read = read
        self._at = 0
        self._is_file = False

    def parameter(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            start = self._at
            key = self._key()
            if key in found:
                self._at = start
                raise self._error(f"'{key}' is there twice (separate elements by spaces)")
            found[key] = self._values()
            if self._ended():
                return found
            self._expect(",")

    def _key(self) -> str:
        key = self._match(_KEY)
        self._skip_space()
        self._is_file = self._peek() == "@"
        if self._is_file:
            self._at += 1
        self._expect("=")
        return key

    def _values(self) -> Any:
        if self._ended():
            return ""
        if self._peek() in "[{":
            return self._nested()
        values = [self._first()]
        while True:
            self._skip_space()
            following = self._continued()
            if following is None:
                return values[0] if len(values) == 1 else values
            values.append(following)

    def _continued(self) -> Any:
        """Give the next value of a list without brackets; None, unmoved, where there is none."""
        start = self._at
        if self._peek() == ",":
            self._at += 1
            self._skip_space()
            value = self._quoted() if self._peek() in ("'", '"') else self._bare(_CONTINUED)
            self._skip_space()
            if value is not None and self._peek() in ("", ","):
                return self._loaded(value)
        self._at = start
        return None

    def _nested(self) -> Any:
        if self._peek() == "[":
            return self._list()
        if self._peek() == "{":
            return self._structure()
        return self._first()

    def _list(self) -> list[Any]:
        self._expect("[")
        values = []
        while self._peek() != "]":
            values.append(self._nested())
            self._separator("]")
        self._expect("]")
        return values

    def _structure(self) -> dict[str, Any]:
        self._expect("{")
        found = {}
        while self._peek() != "}":
            key = self._key()
            found[key] = self._nested()
            self._separator("}")
        self._expect("}")
        return found

    def _separator(self, end: str) -> None:
        self._skip_space()
        if self._peek() != end:
            self._expect(",")

    def _first(self) -> Any:
        value = self._quoted() if self._peek() in ("'", '"') else self._bare(_FIRST)
        return self._loaded(value or "")

    def _quoted(self) -> str:
        match = _QUOTED.match(self._text, self._at)
        if match is None:
            raise self._error("the quotation does not end")
        self._at = match.end()
        mark = self._text[match.start()]
        inner = match[1] if mark == "'" else match[2]
        return inner.replace(f"\\{mark}", mark).replace("\\\\", "\\")

    def _bare(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return match[0].replace("\\,", ",").rstrip()

    def _loaded(self, value: str) -> str | bytes:
        return self._read(value) if self._is_file else value

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        found = "" if match is None else match[0]
        self._at += len(found)
        return found

    def _skip_space(self) -> None:
        self._match(_SPACE)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _ended(self) -> bool:
        return self._at >= len(self._text)

    def _expect(self, character: str) -> None:
        self._skip_space()
        if self._peek() != character:
            found = f"'{self._peek()}'" if self._peek() else "the end"
            raise self._error(f"expected '{character}' and found {found}")
        self._at += 1
        self._skip_space()

    def _error(self, problem: str) -> ShorthandError:
        line_start = self._text.rfind("\n", 0, self._at) + 1
        line_end = self._text.find("\n", self._at)
        line_end = len(self._text) if line_end < 0 else line_end
        mark = " " * (self._at - line_start) + "^"
        picture = f"{self._text[:line_end]}\n{mark}{self._text[line_end:]}"
        return ShorthandError(f"{problem} at character {self._at + 1}", picture)


def coerce(shape: Shape, value: Any) -> Any:
    """Give `value` with its texts turned into what `shape` asks for, where they can be.

    What cannot be is left as it is, for the validation to name.
    """
    if shape.type == "structure" and isinstance(value, dict):
        return {
            name: coerce(shape.members[name], inner) if name in shape.members else inner
            for name, inner in value.items()
        }
    if shape.type == "list" and shape.element is not None:
        values = value if isinstance(value, list) else [value]
        return [coerce(shape.element, inner) for inner in values]
    if shape.type == "map" and shape.value is not None and isinstance(value, dict):
        return {key: coerce(shape.value, inner) for key, inner in value.items()}
    return _coerce_scalar(shape, value)


def _coerce_scalar(shape: Shape, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        if shape.type in ("integer", "long"):
            return int(value)
        if shape.type in ("float", "double"):
            return float(value)
    except ValueError:
        return value
    if shape.type == "boolean":
        return {"true": True, "false": False}.get(value.lower(), value)
    return value
