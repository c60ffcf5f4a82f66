"""Every lesson of other registries has its tests, and docs/explanation/safety.md names them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "explanation" / "safety.md").read_text()
ROWS = dict(re.findall(r"^\| ([SD]\d+) \|.*\| (.*) \|$", PAGE, re.MULTILINE))
LESSONS = [*(f"S{number}" for number in range(1, 17)), *(f"D{number}" for number in range(1, 16))]
# What opens a connection of its own choice.
OPENERS = {"create_connection", "HTTPConnection", "HTTPSConnection", "urlopen", "open_connection"}


def test_table_has_every_lesson() -> None:
    assert list(ROWS) == LESSONS


@pytest.mark.parametrize("row", LESSONS)
def test_lesson_names_tests_that_exist(row: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", ROWS[row])

    assert named
    assert len(named) == ROWS[row].count("::")
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_few_modules_open_connections() -> None:
    package = ROOT / "src" / "ecrate"
    found = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func))
        in OPENERS
    }

    # The commands talk to whom their user names, `testing` to the server that it has started,
    # `upstream` to whom an operator's rules name.
    assert found
    assert found <= {"cli", "testing", "upstream"}
