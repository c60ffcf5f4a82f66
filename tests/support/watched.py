"""A server with an audit log, and what it and the commands on its data write there."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from ecrate.cli import main
from tests.support.server import Server


@dataclasses.dataclass(frozen=True)
class Watched:
    """A server and the file of its audit log."""

    server: Server
    path: Path

    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def recorded(self, deed: Callable[[], object]) -> list[Any]:
        """Give the events of what is done."""
        before = len(self.events())
        deed()
        return self.events()[before:]

    def iam(self, *words: str) -> Any:
        """Run `ecrate iam` with the server's settings; give what it prints."""
        return self.run("iam", *words)

    def run(self, command: str, *words: str) -> Any:
        """Run a command on the server's data in this process; give what it prints."""
        said = io.StringIO()
        settings = {"ECRATE_AUDIT_LOG": str(self.path)}
        with mock.patch.dict(os.environ, settings), contextlib.redirect_stdout(said):
            main([command, "--data", str(self.server.data), *words])
        return json.loads(said.getvalue() or "null")
