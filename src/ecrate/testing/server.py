"""A server in development mode, in a process of its own, on a free loopback port."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ecrate.testing.faults import FaultList
from ecrate.testing.registry import Registry

_PATIENCE: Final = 30.0


@dataclass(frozen=True)
class Server:
    """A running server; `data` is its data directory, gone with it."""

    endpoint: str
    data: Path
    process: subprocess.Popen[str]

    def registry(self, account: str = "", region: str = "us-east-1") -> Registry:
        """Give an account's registry in a region; without a name, one that nobody else uses."""
        return registry_at(self.endpoint, account, region)

    def stop(self) -> None:
        """End the server, and delete all it had."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        shutil.rmtree(self.data, ignore_errors=True)


def registry_at(endpoint: str, account: str, region: str) -> Registry:
    """Give an account's registry at a server; without a name, one that nobody else uses."""
    name = account or f"{secrets.randbelow(10**12):012d}"
    return Registry(endpoint, name, region, FaultList(endpoint, name))


def start_server(
    *arguments: str, settings: Mapping[str, object] | None = None, seed: str | Path | None = None
) -> Server:
    """Start a server and return once it answers; whoever starts one stops it.

    `arguments` are those of `ecrate serve`, `settings` are by their names, `seed` is a file of
    what is to be there. Raises `RuntimeError` with the server's own words where it does not start.
    """
    data = Path(tempfile.mkdtemp(prefix="ecrate-"))
    command = [
        *(sys.executable, "-m", "ecrate", "serve", "--dev", "--port", "0", "--workers", "1"),
        *("--data", str(data), *arguments),
        *(() if seed is None else ("--seed", str(seed))),
    ]
    # Only what is asked for here: neither the shell's settings nor its keys.
    plain = {name: text for name, text in os.environ.items() if not name.startswith("ECRATE_")}
    given = {f"ECRATE_{name.upper()}": _text(value) for name, value in (settings or {}).items()}
    log = (data / "log").open("w+", encoding="utf-8")
    with log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env={**plain, **given},
        )
        server = Server(_endpoint(process), data, process)
        if not server.endpoint:
            log.seek(0)
            told = log.read().strip()
            server.stop()
            raise RuntimeError(told or "the server ended at once")
    return server


def _endpoint(process: subprocess.Popen[str]) -> str:
    first = process.stdout.readline() if process.stdout is not None else ""
    return first.partition(" listens on ")[2].strip()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextlib.contextmanager
def running_server(
    *arguments: str, settings: Mapping[str, object] | None = None, seed: str | Path | None = None
) -> Iterator[Server]:
    """Run a server for a block; parameters are those of `start_server`."""
    server = start_server(*arguments, settings=settings, seed=seed)
    try:
        yield server
    finally:
        server.stop()
