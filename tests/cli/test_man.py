from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ecrate import __version__
from ecrate.aws.model import service_model
from ecrate.cli import COMMANDS
from ecrate.cli.page import ManPage
from tests.support.clients import find_program
from tools.man import main, pages

_PAGES = dict(pages())
_REQUESTS = {".TH", ".SH", ".in", ".ti", ".br", ".sp", ".nh", ".ad"}


@pytest.mark.parametrize("command", _PAGES)
def test_man_page_has_a_name_and_no_stray_requests(command: str) -> None:
    page = ManPage(command, __version__)

    _PAGES[command](page)

    lines = page.text().splitlines()
    name = command.replace(" ", "-").replace("-", r"\-")
    assert lines[0].startswith(f'.TH "{command.upper().replace(" ", "-")}" 1 ')
    assert [line for line in lines if line.startswith(f"{name} \\- ")] == [lines[4]]
    assert {line.split()[0] for line in lines if line[:1] in (".", "'")} <= _REQUESTS
    assert not re.search(r"\\[^e&-]", page.text())


def test_every_command_has_a_man_page() -> None:
    operations = {f"ecrate ecr {each.cli_name}" for each in service_model().operations.values()}

    assert operations | {f"ecrate {name}" for name in COMMANDS} <= _PAGES.keys()


@pytest.mark.clients
def test_man_shows_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0

    shown = subprocess.run(
        [find_program("man"), str(tmp_path / "man1/ecrate-ecr-put-image.1")],
        env={"PATH": "/usr/bin:/bin", "MANPAGER": "cat", "MANWIDTH": "90", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )

    heads = [line for line in shown.stdout.splitlines() if line and not line.startswith(" ")]
    assert heads[1:-1] == [
        "NAME",
        "DESCRIPTION",
        "SYNOPSIS",
        "OPTIONS",
        "GLOBAL OPTIONS",
        "OUTPUT",
    ]
    assert "ecrate-ecr-put-image - Creates or updates the image manifest" in shown.stdout
    assert capsys.readouterr().out.startswith(f"{len(_PAGES)} man pages")
