"""The pages of the reference that are made from the code are as it makes them now."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ecrate.aws.errors import CODES
from ecrate.cli import COMMANDS
from tools import errors, options


@pytest.mark.parametrize(
    ("path", "page"),
    [
        pytest.param(errors.PAGE, errors.page, id="errors"),
        pytest.param(options.PAGE, options.page, id="options"),
    ],
)
def test_page_is_as_make_docs_writes_it(path: Path, page: Callable[[], str]) -> None:
    assert path.read_text() == page(), "run `make docs`"


def test_page_of_errors_has_every_condition_and_its_codes() -> None:
    rows = errors.PAGE.read_text().splitlines()

    for condition, code in CODES.items():
        (row,) = [row for row in rows if row.startswith(f"| {condition.__name__} |")]
        assert f"`{code}`" in row


def test_page_of_errors_has_what_is_refused_before_any_operation() -> None:
    text = errors.PAGE.read_text()

    assert "| AWS | 400 | `MissingAuthenticationTokenException` |" in text
    assert "| registry | 404 | `NAME_INVALID` |" in text


def test_page_of_options_has_every_command() -> None:
    text = options.PAGE.read_text()

    assert [name for name in COMMANDS if f"## `ecrate {name}`" not in text] == ["ecr"]
    assert "## `ecrate trash restore`" in text
    assert "`--referrers`" in text


def test_page_of_commands_has_every_command() -> None:
    page = (options.PAGE.parent / "commands.md").read_text()
    named = set(re.findall(r"^\| `([a-z]+)", page.partition("## ")[0], re.MULTILINE))

    assert named == set(COMMANDS)
