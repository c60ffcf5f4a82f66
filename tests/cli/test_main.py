from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecrate import __version__
from tests.cli.conftest import Run
from tests.support.images import OCI_MANIFEST, make_image
from tests.support.layouts import write_layout
from tests.support.server import Server


def test_version(plain_run: Run) -> None:
    assert plain_run("--version").out.startswith(f"ecrate/{__version__} Python/")


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help_lists_the_commands(plain_run: Run, word: str) -> None:
    lines = plain_run(word).out.splitlines()

    named = [line.split()[0] for line in lines if line.startswith("  ")]
    assert named == ["serve", "env", "ecr", "push", "pull", "iam", "trash", "lock", "unlock", "gc"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        pytest.param([], "a command is missing", id="nothing"),
        pytest.param(["psuh"], "'psuh' is no command", id="unknown"),
        pytest.param(["--region", "x", "env"], "stand behind it: --region x", id="common option"),
        pytest.param(["push", "only-one"], "usage: ecrate push", id="too few"),
        pytest.param(["pull", "a", "b", "--output", "json"], "--output", id="without effect"),
        pytest.param(["pull", "a", "b", "--jobs", "0"], "at least 1", id="no jobs"),
    ],
)
def test_bad_command_lines_are_252(plain_run: Run, words: list[str], text: str) -> None:
    ran = plain_run(*words)

    assert (ran.code, ran.out) == (252, "")
    assert text in ran.err


@pytest.mark.parametrize("target", ["pulled", "pulled.tar"])
def test_interrupt_ends_a_pull_and_leaves_nothing(
    run: Run, server: Server, repository: str, tmp_path: Path, target: str
) -> None:
    image = make_image(*[60 * 1024 * 1024] * 2)
    write_layout(tmp_path / "layout", [image], {"x": (image.manifest, OCI_MANIFEST)})
    run("push", str(tmp_path / "layout"), repository)
    destination = tmp_path / "here"
    destination.mkdir()
    command = [sys.executable, "-m", "ecrate", "pull", repository, str(destination / target)]
    process = subprocess.Popen(command, env=os.environ | server.env, stderr=subprocess.DEVNULL)
    while not list(destination.glob("*.partial")) and process.poll() is None:
        time.sleep(0.001)

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert list(destination.iterdir()) == []
