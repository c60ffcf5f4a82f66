"""The AWS command line, both versions, as quick as tests need it and with our service model."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ecrate.aws.model import API_VERSION, data_file
from tests.support.clients import miss

_PROGRAM = Path(__file__).with_name("aws_program.py")
_MODEL = ("service-2.json.gz", "paginators-1.json", "waiters-2.json", "endpoint-rule-set-1.json.gz")
_DEBIAN = Path("/usr/lib/python3/dist-packages/awscli/__init__.py")


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class AwsCli:
    """Runs command lines, one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, *words: str) -> Ran:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(words)}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line.strip(), f"aws died of {words}"
        code, out, err = json.loads(line)
        return Ran(code, out, err)


@contextlib.contextmanager
def aws_version_1(env: Mapping[str, str], folder: Path) -> Iterator[AwsCli]:
    """Run PyPI's awscli, which is among the tests' packages."""
    with _running(sys.executable, env, folder) as cli:
        yield cli


@contextlib.contextmanager
def aws_version_2(env: Mapping[str, str], folder: Path) -> Iterator[AwsCli]:
    """Run Debian's awscli; skips where it is not installed, or is version 1."""
    if not _DEBIAN.exists() or '"2.' not in _DEBIAN.read_text().replace("'", '"'):
        miss("Debian's awscli, version 2, is not installed")
    with _running("/usr/bin/python3", env, folder) as cli:
        yield cli


@contextlib.contextmanager
def _running(python: str, env: Mapping[str, str], folder: Path) -> Iterator[AwsCli]:
    # Each program brings a model of its own, older than ours.
    _lay_model(folder)
    clean = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    with subprocess.Popen(
        [python, str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        # Trying again what is not there takes version 1 eleven seconds.
        env={**clean, **env, "AWS_DATA_PATH": str(folder), "AWS_MAX_ATTEMPTS": "1"},
    ) as process:
        yield AwsCli(process)


def _lay_model(folder: Path) -> None:
    target = folder / "ecr" / API_VERSION
    target.mkdir(parents=True, exist_ok=True)
    for name in _MODEL:
        content = data_file(name).read_bytes()
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        (target / name.removesuffix(".gz")).write_bytes(content)
