"""Answers as `aws` draws them in tables.

A table is a pile of sections of one width. A section is a structure's scalars (in one row below
their names), or a list's elements (a row each); what is nested in them follows as sections one
level deeper, drawn between one more pair of bars. A table wider than the terminal has its one-row
sections turned on their side.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ecrate.cli.failures import CommandError

_PADDING: Final = 4  # two blanks on each side of a cell
_DEFAULT_WIDTH: Final = 80
_BLUE: Final = ("\x1b[1m\x1b[34m", "\x1b[0m")
_YELLOW: Final = ("\x1b[2m\x1b[33m", "\x1b[0m")
_PLAIN: Final = ("", "")


@dataclass(slots=True)
class Section:
    """A title over rows of equally many cells; `headers` may be missing."""

    title: str
    depth: int
    headers: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def add(self, cells: list[Any]) -> None:
        """Add a row; raises `CommandError` where it has more or fewer cells than the others."""
        before = self.headers or (self.rows[0] if self.rows else cells)
        if len(cells) != len(before):
            raise CommandError(
                f"A table needs rows of equal length: one has {len(before)} cells and one "
                f"{len(cells)}; choose with --query, or use --output json"
            )
        self.rows.append([str(cell) for cell in cells])

    def columns(self) -> list[int]:
        """Give the width of each column's widest cell."""
        lines = [self.headers, *self.rows] if self.headers else self.rows
        return [max(map(text_width, column)) for column in zip(*lines, strict=True)]

    def width(self) -> int:
        """Give the width of the table that this section needs."""
        cells = sum(column + _PADDING for column in self.columns())
        return 2 + 2 * self.depth + max(text_width(self.title), cells)

    def turned(self) -> Section:
        """Give a section of one row as one with a row for each of its columns."""
        if len(self.rows) != 1 or not self.headers:
            return self
        rows = [list(pair) for pair in zip(self.headers, self.rows[0], strict=True)]
        return Section(self.title, self.depth, rows=rows)


def render_table(title: str, value: Any, *, color: str) -> str:
    """Give the table; nothing where there is nothing to show."""
    if not value:
        return ""
    sections: list[Section] = []
    _collect(sections, title, value, 0)
    width = max(section.width() for section in sections)
    if width > _terminal_width():
        sections = [section.turned() for section in sections]
        width = max(section.width() for section in sections)
    is_colored = color == "on" or (color == "auto" and sys.stdout.isatty())
    drawing = _Drawing(is_colored=is_colored)
    lines = [f"{'-' * width}\n{drawing.reset}"]
    for section in sections:
        lines += drawing.section(section, width)
    # `aws` resets colours a last time when it ends, on a terminal only.
    return "".join(lines) + (drawing.reset if sys.stdout.isatty() else "")


def text_width(text: str) -> int:
    """Give how many columns a terminal uses for `text`."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WFA" else 1 for char in text)


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return _DEFAULT_WIDTH


def _collect(sections: list[Section], title: str | None, value: Any, depth: int) -> None:
    """Add the sections of `value`; without a title its rows go to the section before."""
    if not value:
        return
    if title is not None:
        sections.append(Section(title, depth))
    if isinstance(value, dict):
        _collect_structure(sections, value, depth)
    elif isinstance(value, list) and isinstance(value[0], dict):
        _collect_structures(sections, title or "", value, depth)
    elif isinstance(value, list):
        for item in value:
            if not _is_nested(item):
                sections[-1].add([item])
            elif not any(map(_is_nested, item)):
                sections[-1].add(list(item))
            else:
                _collect(sections, None, item, 0)


def _collect_structure(sections: list[Section], value: dict[str, Any], depth: int) -> None:
    headers, nested = _split([value])
    section = sections[-1]
    if len(headers) == 1:
        section.add([headers[0], value[headers[0]]])
    elif headers:
        section.headers = headers
        section.add([value[name] for name in headers])
    for name in nested:
        _collect(sections, name, value[name], depth + 1)


def _collect_structures(
    sections: list[Section], title: str, values: list[dict[str, Any]], depth: int
) -> None:
    headers, nested = _split(values)
    sections[-1].headers = headers
    for index, value in enumerate(values):
        if index and nested:
            # What is nested in the element before stands between.
            sections.append(Section(title, depth, headers))
        sections[-1].add([value.get(name, "") for name in headers])
        for name in nested:
            if name in value:
                _collect(sections, name, value[name], depth + 1)


def _split(values: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Give the names of the scalars and of the nested members of all structures, sorted."""
    scalars = {name for value in values for name in value if not _is_nested(value[name])}
    nested = {name for value in values for name in value if _is_nested(value[name])}
    return sorted(scalars), sorted(nested)


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


class _Drawing:
    def __init__(self, *, is_colored: bool) -> None:
        self._cell_color = _BLUE if is_colored else _PLAIN
        self._bar_color = _YELLOW if is_colored else _PLAIN
        # As `aws` writes it, which resets colours after each piece.
        self.reset = _YELLOW[1] if is_colored else ""

    def section(self, section: Section, width: int) -> Iterator[str]:
        """Draw lines between the bars that show the section's depth."""
        start, end = self._bar_color
        bars = f"{start}|{end}" * section.depth + self.reset
        for line in self._lines(section, width - 2 * section.depth):
            yield f"{bars}{line}{self.reset}{bars}\n{self.reset}"

    def _lines(self, section: Section, width: int) -> Iterator[str]:
        if section.title:
            yield _centered(section.title, width, "|")
            if not section.headers and not section.rows:
                yield f"+{'-' * (width - 2)}+"
        widths = _scaled([column + _PADDING for column in section.columns()], width)
        rule = "".join(
            f"+{'-' * (cell - 2)}+" if index == 0 else f"{'-' * (cell - 1)}+"
            for index, cell in enumerate(widths)
        )
        if section.headers:
            yield rule
            yield "".join(
                _centered(header, cell, "" if index else "|")
                for index, (cell, header) in enumerate(zip(widths, section.headers, strict=True))
            )
        if section.rows and widths:
            yield rule
            for row in section.rows:
                yield "".join(
                    self._cell(text, cell, "" if index else "|")
                    for index, (cell, text) in enumerate(zip(widths, row, strict=True))
                )
            yield rule

    def _cell(self, text: str, width: int, left: str) -> str:
        start, end = self._cell_color
        room = width - text_width(text) - len(left) - 1
        before = 2 if room >= 2 else 0  # noqa: PLR2004 - the padding, where there is room
        return f"{left}{' ' * before}{start}{text}{end}{' ' * (room - before)}|"


def _centered(text: str, width: int, left: str) -> str:
    before = left + " " * (width // 2 - text_width(text) // 2 - 1)
    after = " " * (width - 1 - len(before) - text_width(text))
    return f"{before}{text}{after}|"


def _scaled(widths: list[int], total: int) -> list[int]:
    """Stretch the columns to `total`; what rounding leaves is evened out one by one."""
    if not widths:
        return []
    factor = total / sum(widths)
    scaled = [round(factor * width) for width in widths]
    surplus = sum(scaled) - total
    step = 1 if surplus > 0 else -1
    # Too wide: taken from the left; too narrow: given from the right.
    order = range(len(scaled)) if surplus > 0 else range(len(scaled) - 1, -1, -1)
    for turn in range(abs(surplus)):
        scaled[order[turn % len(scaled)]] -= step
    return scaled
