from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ecrate.aws.model import service_model
from ecrate.cli import COMMANDS
from ecrate.cli.words import levels
from tests.cli.conftest import Run
from tests.support.clients import find_program

_BASH = """
source {script}
COMP_WORDS=({words} '{current}') COMP_CWORD={last}
_ecrate
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# Where no line is being edited, what would be offered is printed.
_ZSH = """
compdef() {{ }}
source {script}
compadd() {{ print -rl -- ${{(M)@[2,-1]:#{current}*}} }}
_files() {{ }}
words=({words} '{current}') CURRENT={last}+1
_ecrate
"""
_FISH = """
source {script}
complete -C '{words} {current}' | string split -f 1 \\t
"""
_SHELLS = [
    pytest.param("bash", _BASH, id="bash"),
    pytest.param("zsh", _ZSH, id="zsh", marks=pytest.mark.clients),
    pytest.param("fish", _FISH, id="fish", marks=pytest.mark.clients),
]

Complete = Callable[[str, str, str], set[str]]


@pytest.fixture
def complete(plain_run: Run, tmp_path: Path) -> Complete:
    """Give what a shell offers behind the words of a line, the last one begun."""

    def complete(shell: str, program: str, line: str) -> set[str]:
        script = tmp_path / f"completion.{shell}"
        script.write_text(plain_run("completion", shell).out)
        words, _, current = line.rpartition(" ")
        text = program.format(script=script, words=words, current=current, last=len(words.split()))
        ran = subprocess.run(
            [find_program(shell), "-c", text],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.stderr == ""
        return set(ran.stdout.split())

    return complete


@pytest.mark.parametrize(("shell", "program"), _SHELLS)
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("ecrate pu", {"push", "pull"}, id="command"),
        pytest.param("ecrate ecr list-im", {"list-images", "list-image-referrers"}, id="operation"),
        pytest.param("ecrate --region x ecr get-login", {"get-login-password"}, id="option before"),
        pytest.param(
            "ecrate ecr list-images --re",
            {"--registry-id", "--repository-name", "--region"},
            id="options",
        ),
        pytest.param("ecrate ecr list-images --output y", {"yaml", "yaml-stream"}, id="form"),
        pytest.param(
            "ecrate ecr put-image-tag-mutability --image-tag-mutability IM",
            {"IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"},
            id="enumeration",
        ),
        pytest.param("ecrate ecr wait im", {"image-scan-complete"}, id="waiter"),
        pytest.param("ecrate iam create-u", {"create-user"}, id="command of a command"),
        pytest.param("ecrate completion z", {"zsh"}, id="value"),
        pytest.param("ecrate push --cr", {"--create"}, id="option of a command"),
        pytest.param("ecrate push --col", set(), id="option it does not have"),
    ],
)
def test_shells_offer_what_may_follow(
    complete: Complete, shell: str, program: str, *, line: str, expected: set[str]
) -> None:
    assert complete(shell, program, line) == expected


def test_every_command_and_operation_is_known() -> None:
    known = levels(COMMANDS)

    operations = {f"ecrate ecr {each.cli_name}" for each in service_model().operations.values()}
    assert {f"ecrate {name}" for name in COMMANDS} | operations <= known.keys()


@pytest.mark.parametrize("words", [["nonsense"], []], ids=str)
def test_completion_names_the_shells_it_knows(plain_run: Run, words: list[str]) -> None:
    ran = plain_run("completion", *words)

    assert (ran.code, ran.out) == (252, "")
    assert "bash|zsh|fish" in ran.err
