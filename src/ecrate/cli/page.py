"""Pages of documentation, as plain text for the terminal and as man pages.

The service model's documentation is HTML of few tags, which becomes paragraphs; nothing of it is
kept. A depth says how many steps a line stands to the right of the rest.
"""

from __future__ import annotations

import html
import re
import shutil
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

from typing_extensions import override

_INDENT: Final = "       "
_STEP: Final = "   "
_TOKEN: Final = re.compile(r"<(/?)([a-zA-Z]+)[^>]*>")
_HEADED: Final = {"note": "Note:", "important": "Important:"}


class Page(ABC):
    """Takes a page piece by piece; `text` gives it as it is to be shown or stored."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n"

    @abstractmethod
    def title(self, name: str, documentation: str) -> None:
        """Begin the page of what is called `name`."""

    @abstractmethod
    def section(self, title: str) -> None:
        """Begin a section."""

    @abstractmethod
    def line(self, text: str, depth: int = 0) -> None:
        """Add a line as it is."""

    @abstractmethod
    def blank(self) -> None:
        """Add an empty line."""

    @abstractmethod
    def paragraph(self, text: str, depth: int) -> None:
        """Add a text that fills lines, and an empty one."""

    def option(self, name: str, kind: str, text: str) -> None:
        """Add an option and what it is for."""
        self.line(f"--{name} ({kind})")
        self.paragraph(text, 1)

    def sample(self, title: str, lines: list[str]) -> None:
        """Add lines as they are below a title."""
        self.line(title, 1)
        self.blank()
        for line in lines:
            self.line(line, 2)
        self.blank()

    def prose(self, documentation: str, depth: int = 0) -> None:
        """Add HTML as paragraphs."""
        if not documentation:
            self.blank()
        for text, extra in _paragraphs(documentation):
            self.paragraph(text, depth + extra)


class TextPage(Page):
    """Plain text as wide as the terminal; heads stand at the margin, the rest indented."""

    def __init__(self) -> None:
        super().__init__()
        self._width = max(40, min(100, shutil.get_terminal_size((80, 24)).columns))

    @override
    def title(self, name: str, documentation: str) -> None:
        self.section("NAME")
        self.line(name)
        self.blank()

    @override
    def section(self, title: str) -> None:
        self._lines.append(title)

    @override
    def line(self, text: str, depth: int = 0) -> None:
        self._lines.append(f"{_INDENT}{_STEP * depth}{text}")

    @override
    def blank(self) -> None:
        self._lines.append("")

    @override
    def paragraph(self, text: str, depth: int) -> None:
        indent = f"{_INDENT}{_STEP * depth}"
        hanging = indent + ("  " if text.startswith("o ") else "")
        self._lines += textwrap.wrap(
            text,
            max(self._width, len(indent) + 30),
            initial_indent=indent,
            subsequent_indent=hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.blank()


class ManPage(Page):
    """The source of a man page of section 1; `command` is the whole one, with blanks."""

    def __init__(self, command: str, version: str) -> None:
        super().__init__()
        self._name = command.replace(" ", "-")
        self._lines.append(f'.TH "{self._name.upper()}" 1 "" "ecrate {version}" "ecrate"')
        # As they come, without blanks to fill up lines and without words broken in two.
        self._lines += [".nh", ".ad l"]

    @override
    def title(self, name: str, documentation: str) -> None:
        paragraphs = [text for text, _ in _paragraphs(documentation)]
        sentence = re.split(r"\.( |$)", paragraphs[0] if paragraphs else name, maxsplit=1)[0]
        self.section("NAME")
        self._lines.append(f"{_escaped(self._name)} \\- {_escaped(sentence)}")

    @override
    def section(self, title: str) -> None:
        self._lines.append(f".SH {title}")

    @override
    def line(self, text: str, depth: int = 0) -> None:
        before = len(text) - len(text.lstrip())
        self._lines += [f".in {7 + 3 * depth + before}n", _escaped(text.lstrip()), ".br"]

    @override
    def blank(self) -> None:
        self._lines.append(".sp")

    @override
    def paragraph(self, text: str, depth: int) -> None:
        hanging = 2 if text.startswith("o ") else 0
        self._lines.append(f".in {7 + 3 * depth + hanging}n")
        if hanging:
            self._lines.append(f".ti -{hanging}n")
        self._lines.append(_escaped(text))
        self.blank()


def _escaped(text: str) -> str:
    """Give a text without what roff would take for a request, an escape or a hyphen."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _paragraphs(documentation: str) -> Iterator[tuple[str, int]]:
    """Give each paragraph's text and how many steps deeper than the rest it stands."""
    depth = 0
    mark = ""
    words: list[str] = []
    position = 0
    for tag in (*_TOKEN.finditer(documentation), None):
        end = len(documentation) if tag is None else tag.start()
        words.append(documentation[position:end])
        name = "" if tag is None else tag[2].lower()
        if name in ("code", "a", "i", "b"):
            position = tag.end() if tag else end
            continue
        text = " ".join(html.unescape("".join(words)).split())
        words = []
        if text:
            yield mark + text, depth
            mark = ""
        if tag is None:
            return
        position = tag.end()
        if name in _HEADED:
            if not tag[1]:
                yield _HEADED[name], depth
            depth += -1 if tag[1] else 1
        elif name == "li":
            mark = "" if tag[1] else "o "
