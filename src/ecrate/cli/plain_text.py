"""Trees and tables of plain text for people, whoever wrote what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """A line of a tree: its label, what stands in the columns behind it, and what is below."""

    label: str
    columns: tuple[str, ...] = ()
    below: list[Node] = field(default_factory=list)


def tree_lines(root: Node) -> list[str]:
    """Give the lines of a tree, its columns below each other."""
    rows = list(_rows(root, "", ""))
    return table_lines([(f"{stem}{node.label}", *node.columns) for stem, node in rows])


def _rows(node: Node, stem: str, hanging: str) -> Iterator[tuple[str, Node]]:
    yield stem, node
    for each in node.below:
        is_last = each is node.below[-1]
        branch, rest = ("└── ", "    ") if is_last else ("├── ", "│   ")
        yield from _rows(each, hanging + branch, hanging + rest)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Give the rows with their cells below each other; short rows end early."""
    rows = [[printable(cell) for cell in row] for row in rows]
    count = max((len(row) for row in rows), default=0)
    widths = [
        max((len(row[column]) for row in rows if len(row) > column + 1), default=0)
        for column in range(count)
    ]
    return [
        "  ".join(
            cell if column == len(row) - 1 else cell.ljust(widths[column])
            for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def printable(text: str) -> str:
    """Give a stranger's text in one line, without what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)
