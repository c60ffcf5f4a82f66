from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import Server

_MARK = "sed s/^/paged:/"

OnTerminal = Callable[..., list[str]]


@pytest.fixture
def on_terminal(server: Server, tmp_path: Path) -> OnTerminal:
    """Run the command with a terminal for its output, and give the lines that arrive there."""
    config = tmp_path / "config"
    config.write_text(f"[default]\ncli_pager = {_MARK}\n")
    kept = {name: text for name, text in os.environ.items() if "PAGER" not in name}

    def run(*words: str, env: dict[str, str]) -> list[str]:
        own, theirs = pty.openpty()
        with os.fdopen(own, "rb") as screen:
            ended = subprocess.run(
                [sys.executable, "-m", "ecrate", *words],
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                env={**kept, **server.env, "AWS_CONFIG_FILE": str(config), **env},
                check=False,
                timeout=60,
            )
            os.close(theirs)
            assert ended.returncode == 0
            return _read(screen.fileno()).decode().splitlines()

    return run


def _read(screen: int) -> bytes:
    """Read what is left on a terminal that nobody else has open: its end is an error."""
    content = b""
    try:
        while piece := os.read(screen, 65536):
            content += piece
    except OSError:
        pass
    return content


@pytest.mark.parametrize(
    ("words", "env", "is_paged"),
    [
        pytest.param((), {"AWS_PAGER": _MARK}, True, id="AWS_PAGER"),
        pytest.param((), {}, True, id="cli_pager"),
        pytest.param((), {"AWS_PAGER": ""}, False, id="none"),
        pytest.param(("--no-cli-pager",), {"AWS_PAGER": _MARK}, False, id="option"),
        pytest.param((), {"AWS_PAGER": "/no/such/pager"}, False, id="missing"),
        pytest.param(("--output", "text"), {"AWS_PAGER": _MARK}, True, id="text"),
    ],
)
def test_answers_go_through_the_pager_on_a_terminal(
    on_terminal: OnTerminal, words: tuple[str, ...], env: dict[str, str], *, is_paged: bool
) -> None:
    lines = on_terminal("ecr", "describe-registry", "--query", "registryId", *words, env=env)

    assert [line.strip('"').startswith("paged:") for line in lines] == [is_paged]


@pytest.mark.parametrize("name", ["MANPAGER", "PAGER"])
def test_help_goes_through_the_pager_on_a_terminal(on_terminal: OnTerminal, name: str) -> None:
    lines = on_terminal("ecr", "list-images", "help", env={name: _MARK})

    assert lines[0] == "paged:NAME"


def test_a_pager_that_ends_early_is_no_failure(on_terminal: OnTerminal) -> None:
    lines = on_terminal("ecr", "create-repository", "help", env={"PAGER": "head -n 1"})

    assert lines == ["NAME"]
