"""Client programs: found or missed out loud, and run away from the user's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import pytest


def miss(reason: str) -> NoReturn:
    """Skip the test; in CI, where nothing may be missing, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find_program(name: str) -> str:
    """Give the program's path; daemons are found as well where PATH is a plain user's."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        miss(f"{name} is not installed")
    return found


@dataclass(frozen=True)
class Program:
    """A command to which each run adds arguments, in a home of its own."""

    command: tuple[str, ...]
    home: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def with_options(self, *options: str) -> Program:
        return replace(self, command=(*self.command, *options))

    def run(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it, with `text` as its input, and keep what it prints."""
        return subprocess.run(
            [*self.command, *arguments],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            env={**os.environ, "HOME": str(self.home), "TMPDIR": str(self.home), **self.env},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def output(self, *arguments: str, text: str | None = None) -> str:
        """Run it, insist on success, and give what it prints on standard output."""
        done = self.run(*arguments, text=text)
        assert done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}"
        return done.stdout
