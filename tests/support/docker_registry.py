"""Debian's docker-registry as a registry that is not ours, with a user and a password."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.clients import find_program

USER = "somebody"
PASSWORD = "secret"
# `htpasswd -B` of that password.
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}/data}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  secret: anything
"""
_AUTH = """\
auth:
  htpasswd: {{realm: test, path: {root}/htpasswd}}
"""
_SECONDS = 30.0


@dataclass(frozen=True)
class DockerRegistry:
    """A running docker-registry."""

    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def http(self) -> httpx.Client:
        """Give an HTTP client that is logged in."""
        return httpx.Client(base_url=f"http://{self.host}", auth=(USER, PASSWORD), timeout=30)


@contextlib.contextmanager
def running_docker_registry(folder: Path, *, auth: str = "") -> Iterator[DockerRegistry]:
    """Run one for a block; `auth` is in the place of the user and the password."""
    program = find_program("docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "htpasswd").write_text(_HTPASSWD)
    config = _CONFIG.format(root=folder, port=port) + (auth or _AUTH.format(root=folder))
    (folder / "config.yml").write_text(config)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait(port)
        yield DockerRegistry(port)
    finally:
        process.terminate()
        process.wait(30)


def _wait(port: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError("docker-registry does not start")
