from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecrate import __version__
from ecrate.cli import COMMANDS
from tests.cli.conftest import Run
from tests.support.images import OCI_MANIFEST, make_image
from tests.support.layouts import write_layout
from tests.support.server import Server

_FULL = Path("/dev/full")
_WAIT = ["wait", "image-scan-complete", "--repository-name", "ab", "--image-id", "imageTag=1"]


def test_version(plain_run: Run) -> None:
    assert plain_run("--version").out.startswith(f"ecrate/{__version__} Python/")


DOCUMENT = Path(__file__).parents[2] / "docs/reference/commands.md"


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help_lists_the_commands(plain_run: Run, word: str) -> None:
    lines = plain_run(word).out.splitlines()

    named = [line.split()[0] for line in lines if line.startswith("  ")]
    assert tuple(named) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_documented(name: str) -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]

    assert [row for row in rows if re.match(rf"\| `{name}[ `]", row)] != []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        pytest.param([], "a command is missing", id="nothing"),
        pytest.param(["psuh"], "'psuh' is no command; maybe you meant push", id="unknown"),
        pytest.param(["--region", "x", "env"], "stand behind it: --region x", id="common option"),
        pytest.param(["push", "only-one"], "usage: ecrate push", id="too few"),
        pytest.param(["pull", "a", "b", "--output", "json"], "--output", id="without effect"),
        pytest.param(
            ["push", "a", "b", "--crate"], "maybe you meant --create", id="near an option"
        ),
        pytest.param(["pull", "a", "b", "--jobs", "0"], "at least 1", id="no jobs"),
    ],
)
def test_bad_command_lines_are_252(plain_run: Run, words: list[str], text: str) -> None:
    ran = plain_run(*words)

    assert (ran.code, ran.out) == (252, "")
    assert text in ran.err


def test_a_mistake_of_ours_is_no_traceback(plain_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing that a user may do is known to lead here.
    monkeypatch.setattr("ecrate.cli.ecr.service_model", lambda: None)

    short = plain_run("ecr", "list-images")
    long = plain_run("ecr", "list-images", "--debug")

    assert (short.code, short.out, len(short.err.splitlines())) == (255, "", 2)
    assert "this should not happen: AttributeError" in short.err
    assert long.err.count("Traceback") == 1


@pytest.mark.parametrize("words", [["--version"], ["ecr", "help"]], ids=" ".join)
def test_output_that_cannot_be_written_is_one_line(words: list[str]) -> None:
    with _FULL.open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "ecrate", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env={name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"},
            text=True,
            check=False,
        )

    assert (ran.returncode, ran.stderr) == (255, "ecrate: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("words", [["list-images", "--repository-name", "ab"], _WAIT], ids=" ".join)
def test_interrupt_ends_a_call_without_a_traceback(words: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = os.environ | {"AWS_REGION": "a", "AWS_ACCESS_KEY_ID": "a"}
        env |= {"AWS_SECRET_ACCESS_KEY": "b"}
        env["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "ecrate", "ecr", *words],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        silent.accept()[0].close()
        accepted = silent.accept()[0]

        process.send_signal(signal.SIGINT)

        printed = process.communicate(timeout=20)
        accepted.close()
    assert (process.returncode, *printed) == (130, b"", b"\n")


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


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        pytest.param(("iam", "creat-user", "x"), "maybe you meant create-user", id="iam"),
        pytest.param(("gc", "stats"), "maybe you meant status", id="gc"),
        pytest.param(("serve", "--prot", "1"), "maybe you meant --port", id="serve"),
        pytest.param(("env", "--dta", "x"), "maybe you meant --data", id="env"),
        pytest.param(("config", "chek"), "neither show nor check", id="config"),
    ],
)
def test_commands_on_the_server_complain_in_two_lines(
    plain_run: Run, words: tuple[str, ...], hint: str
) -> None:
    ran = plain_run(*words)

    assert (ran.code, ran.out) == (252, "")
    assert hint in ran.err
    assert len(ran.err.strip().splitlines()) <= 3
